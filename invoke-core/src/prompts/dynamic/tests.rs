use super::{TemplateError, all, random};

type Expected = Result<&'static [&'static str], &'static str>;

/// What dynamicprompts 0.31 makes of these templates: the first eight prompts, or its complaint.
#[test]
fn recorded_templates() {
    let table: &[(&str, Expected)] = &[
        ("", Ok(&[])),
        ("cat", Ok(&["cat"])),
        ("a {red|blue} cat", Ok(&["a red cat", "a blue cat"])),
        (
            "{a|b} and {c|d|e}",
            Ok(&["a and c", "a and d", "a and e", "b and c", "b and d", "b and e"]),
        ),
        ("{2$$a|b|c}", Ok(&["a,b", "a,c", "b,a", "b,c", "c,a", "c,b"])),
        (
            "{1-2$$ and $$a|b|c}",
            Ok(&["a", "b", "c", "a and b", "a and c", "b and a", "b and c", "c and a"]),
        ),
        ("{-2$$a|b}", Ok(&["a", "b", "a,b", "b,a"])),
        ("{2-$$a|b|c}", Ok(&["a,b", "a,c", "b,a", "b,c", "c,a", "c,b", "a,b,c", "a,c,b"])),
        ("{0.5::a|b}", Ok(&["a", "b"])),
        ("{3::a|b|c}", Ok(&["a", "b", "c"])),
        ("{a | b}", Ok(&["a ", "b"])),
        ("{ a|b }", Ok(&["a", "b "])),
        ("{a|{b|c}}", Ok(&["a", "b", "c"])),
        ("{a||b}", Ok(&["a", "", "b"])),
        ("{}", Ok(&[""])),
        ("{a|a}", Ok(&["a"])),
        ("{2$$a|a|b}", Ok(&["a,b", "b,a"])),
        (
            "${x={red|blue}}a ${x} b ${x}",
            Ok(&["a red b red", "a red b blue", "a blue b red", "a blue b blue"]),
        ),
        ("${x=!{red|blue}}a ${x} b ${x}", Ok(&["a red b red"])),
        ("${y:green} z", Ok(&["green z"])),
        (
            "a __w__ b",
            Ok(&[
                "a __w__ b",
                "a __w__ b",
                "a __w__ b",
                "a __w__ b",
                "a __w__ b",
                "a __w__ b",
                "a __w__ b",
                "a __w__ b",
            ]),
        ),
        ("%{a photo of ... here$$cat}", Ok(&["a photo of cat here"])),
        (
            "%{ {big|small} …$${cat|dog}}",
            Ok(&["big cat", "big dog", "small cat", "small dog"]),
        ),
        ("# comment\na", Ok(&["\na"])),
        ("a # c", Ok(&["a "])),
        ("a // b", Ok(&["a // b"])),
        ("// b", Ok(&[""])),
        ("http://x.y/z", Ok(&["http://x.y/z"])),
        ("a /* c */ b", Ok(&["a /* c */ b"])),
        ("{a /* c */|b}", Ok(&["a /* c */", "b"])),
        ("50% off", Err("Expected end of text, found '%'  (at char 2), (line:1, col:3)")),
        ("$5", Err("Expected end of text, found '$'  (at char 0), (line:1, col:1)")),
        ("a { b", Err("Expected end of text, found '{'  (at char 2), (line:1, col:3)")),
        ("a } b", Ok(&["a } b"])),
        ("a | b", Ok(&["a | b"])),
        ("{@a|b} {c|d}", Ok(&["a c", "b d"])),
        ("a {b|c} {d}", Ok(&["a b d", "a c d"])),
        (
            "__a/b__",
            Ok(&[
                "__a/b__", "__a/b__", "__a/b__", "__a/b__", "__a/b__", "__a/b__", "__a/b__", "__a/b__",
            ]),
        ),
        (
            "__~a__",
            Ok(&["__a__", "__a__", "__a__", "__a__", "__a__", "__a__", "__a__", "__a__"]),
        ),
        (
            "__x(y=1)__",
            Ok(&["__x__", "__x__", "__x__", "__x__", "__x__", "__x__", "__x__", "__x__"]),
        ),
        ("({a|b}:1.2)", Ok(&["(a:1.2)", "(b:1.2)"])),
        ("{2$$, $$a|b|c}", Ok(&["a, b", "a, c", "b, a", "b, c", "c, a", "c, b"])),
        ("{5$$a|b}", Ok(&["a,b", "b,a"])),
        ("{0$$a|b}", Ok(&[""])),
        ("{0-1$$a|b}", Ok(&["", "a", "b"])),
        ("  lead {a|b}  ", Ok(&["  lead a  ", "  lead b  "])),
        ("{a|b}\n{c|d}", Ok(&["a\nc", "a\nd", "b\nc", "b\nd"])),
        ("a_b__c", Err("Expected end of text, found '_'  (at char 3), (line:1, col:4)")),
        ("${x=1} y ${x?=2} ${x}", Ok(&[" y  2"])),
        ("${ x = red } ${ x }", Ok(&[" red "])),
        ("${x:{a|b}}", Ok(&["a", "b"])),
        ("{1$$a|b}", Ok(&["a", "b"])),
        ("{a:b|c}", Ok(&["a:b", "c"])),
        ("{a$$b|c}", Err("Expected end of text, found '{'  (at char 0), (line:1, col:1)")),
        ("photo, (cat:1.2), [dog]", Ok(&["photo, (cat:1.2), [dog]"])),
        ("{1.5::a|.5::b|2.::c}", Ok(&["a", "b", "c"])),
        ("{a|b}{c|d}", Ok(&["ac", "ad", "bc", "bd"])),
    ];
    for (template, expected) in table {
        let found = all(template, 8).map_err(|error| error.to_string());
        let expected = expected
            .map(|texts| texts.iter().map(ToString::to_string).collect::<Vec<_>>())
            .map_err(str::to_owned);
        assert_eq!(found, expected, "{template:?}");
    }
}

#[test]
fn what_cannot_be_resolved_is_named() {
    assert_eq!(
        all("{__nope__|x} {__other__|{__nope__|y}}", 8),
        Err(TemplateError::Wildcards(vec!["nope".into(), "other".into()]))
    );
    assert_eq!(all("${y} z", 8), Err(TemplateError::UnknownVariable("y".into())));
    assert_eq!(all("${x=${x}}${x}", 8), Err(TemplateError::Recursion("x".into())));
}

#[test]
fn hostile_templates_end() {
    assert!(all(&"{".repeat(5000), 8).is_err());
    assert!(all(&"{a|".repeat(200), 8).is_err());
    assert!(all(&"x".repeat(200_000), 8).is_err());
    let wide = format!("{{20$${}}}", (0..40).map(|n| n.to_string()).collect::<Vec<_>>().join("|"));
    assert_eq!(all(&wide, 3).unwrap().len(), 3);
    let _ = all("{2$$${y:__w__}|${z:__w__}}", 8);
}

#[test]
fn chance_chooses_among_all() {
    let mut n = 0_u32;
    let mut draw = || {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(n >> 8) / f64::from(1_u32 << 24)
    };
    let everything = all("{2$$ and $$a|b|c} {x|y}", 100).unwrap();
    let drawn = random("{2$$ and $$a|b|c} {x|y}", 200, &mut draw).unwrap();
    assert!(drawn.iter().all(|prompt| everything.contains(prompt)));
    assert!(everything.iter().all(|prompt| drawn.contains(prompt)));
    let weighted = random("{0::a|1::b}", 50, &mut draw).unwrap();
    assert!(weighted.iter().all(|prompt| prompt == "b"));
    assert_eq!(random("{__w__|x}", 1, &mut || 0.0).unwrap(), ["__w__"]);
    assert_eq!(random("", 3, &mut || 0.0).unwrap(), Vec::<String>::new());
}
