//! Colours as people write them: the forms of CSS that Pillow reads, and `(r, g, b)`.

/// Red, green, blue and opacity of a colour's text.
///
/// `(r, g, b)` or `(r, g, b, a)` with any numbers, missing ones 0 and missing opacity 255; else a name, `#rgb`, `#rgba`, `#rrggbb`, `#rrggbbaa`,
/// `rgb(r, g, b)`, `rgb(r%, g%, b%)`, `rgba(r, g, b, a)`, `hsl(h, s%, l%)`, `hsv(h, s%, v%)` or `hsb(…)`.
pub(super) fn parse(text: &str) -> Option<[f64; 4]> {
    let text = text.trim().to_lowercase();
    if text.starts_with('(') {
        let inside = text.strip_prefix('(')?.strip_suffix(')')?;
        let numbers: Vec<f64> = inside
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().ok())
            .collect::<Option<_>>()?;
        let mut out = [0.0, 0.0, 0.0, 255.0];
        if numbers.len() > out.len() {
            return None;
        }
        out[..numbers.len()].copy_from_slice(&numbers);
        return Some(out);
    }
    if let Some(digits) = text.strip_prefix('#') {
        return hex(digits).map(|bytes| bytes.map(f64::from));
    }
    if let Some((name, rest)) = text.split_once('(') {
        let inside: Vec<&str> = rest.strip_suffix(')')?.split(',').map(str::trim).collect();
        return function(name.trim(), &inside);
    }
    let index = NAMES.binary_search_by_key(&text.as_str(), |(name, _)| name).ok()?;
    let [_, r, g, b] = NAMES[index].1.to_be_bytes();
    Some([f64::from(r), f64::from(g), f64::from(b), 255.0])
}

fn hex(digits: &str) -> Option<[u8; 4]> {
    let values: Vec<u8> = digits.chars().map(|c| c.to_digit(16).map(|v| v as u8)).collect::<Option<_>>()?;
    let mut out = [255; 4];
    match values.len() {
        3 | 4 => {
            for (to, v) in out.iter_mut().zip(values) {
                *to = v * 17;
            }
        }
        6 | 8 => {
            for (to, pair) in out.iter_mut().zip(values.chunks_exact(2)) {
                *to = pair[0] * 16 + pair[1];
            }
        }
        _ => return None,
    }
    Some(out)
}

fn function(name: &str, parts: &[&str]) -> Option<[f64; 4]> {
    let whole = |part: &str| part.parse::<u32>().ok().map(f64::from);
    let percent = |part: &str| part.strip_suffix('%').and_then(|v| v.parse::<f64>().ok());
    match (name, parts) {
        ("rgb", [r, g, b]) => {
            if let (Some(r), Some(g), Some(b)) = (whole(r), whole(g), whole(b)) {
                return Some([r, g, b, 255.0]);
            }
            let share = |part: &str| percent(part).map(|v| (v * 255.0 / 100.0 + 0.5).floor());
            Some([share(r)?, share(g)?, share(b)?, 255.0])
        }
        ("rgba", [r, g, b, a]) => Some([whole(r)?, whole(g)?, whole(b)?, whole(a)?]),
        ("hsl", [h, s, l]) => {
            let (s, l) = (percent(s)? / 100.0, percent(l)? / 100.0);
            let high = if l <= 0.5 { l * (1.0 + s) } else { l + s - l * s };
            let low = 2.0 * l - high;
            let hue = h.parse::<f64>().ok()? / 360.0;
            let channel = |h: f64| {
                let h = h.rem_euclid(1.0);
                if h < 1.0 / 6.0 {
                    low + (high - low) * h * 6.0
                } else if h < 0.5 {
                    high
                } else if h < 2.0 / 3.0 {
                    low + (high - low) * (2.0 / 3.0 - h) * 6.0
                } else {
                    low
                }
            };
            Some(opaque([channel(hue + 1.0 / 3.0), channel(hue), channel(hue - 1.0 / 3.0)]))
        }
        ("hsv" | "hsb", [h, s, v]) => {
            let (s, v) = (percent(s)? / 100.0, percent(v)? / 100.0);
            let hue = (h.parse::<f64>().ok()? / 360.0).rem_euclid(1.0) * 6.0;
            let f = hue.fract();
            let (p, q, t) = (v * (1.0 - s), v * (1.0 - s * f), v * (1.0 - s * (1.0 - f)));
            Some(opaque(match hue as u32 {
                0 => [v, t, p],
                1 => [q, v, p],
                2 => [p, v, t],
                3 => [p, q, v],
                4 => [t, p, v],
                _ => [v, p, q],
            }))
        }
        _ => None,
    }
}

fn opaque(rgb: [f64; 3]) -> [f64; 4] {
    let [r, g, b] = rgb.map(|v| (v * 255.0 + 0.5).floor());
    [r, g, b, 255.0]
}

/// The names of CSS in the order of the alphabet.
const NAMES: &[(&str, u32)] = &[
    ("aliceblue", 0xf0f8ff),
    ("antiquewhite", 0xfaebd7),
    ("aqua", 0x00ffff),
    ("aquamarine", 0x7fffd4),
    ("azure", 0xf0ffff),
    ("beige", 0xf5f5dc),
    ("bisque", 0xffe4c4),
    ("black", 0x000000),
    ("blanchedalmond", 0xffebcd),
    ("blue", 0x0000ff),
    ("blueviolet", 0x8a2be2),
    ("brown", 0xa52a2a),
    ("burlywood", 0xdeb887),
    ("cadetblue", 0x5f9ea0),
    ("chartreuse", 0x7fff00),
    ("chocolate", 0xd2691e),
    ("coral", 0xff7f50),
    ("cornflowerblue", 0x6495ed),
    ("cornsilk", 0xfff8dc),
    ("crimson", 0xdc143c),
    ("cyan", 0x00ffff),
    ("darkblue", 0x00008b),
    ("darkcyan", 0x008b8b),
    ("darkgoldenrod", 0xb8860b),
    ("darkgray", 0xa9a9a9),
    ("darkgreen", 0x006400),
    ("darkgrey", 0xa9a9a9),
    ("darkkhaki", 0xbdb76b),
    ("darkmagenta", 0x8b008b),
    ("darkolivegreen", 0x556b2f),
    ("darkorange", 0xff8c00),
    ("darkorchid", 0x9932cc),
    ("darkred", 0x8b0000),
    ("darksalmon", 0xe9967a),
    ("darkseagreen", 0x8fbc8f),
    ("darkslateblue", 0x483d8b),
    ("darkslategray", 0x2f4f4f),
    ("darkslategrey", 0x2f4f4f),
    ("darkturquoise", 0x00ced1),
    ("darkviolet", 0x9400d3),
    ("deeppink", 0xff1493),
    ("deepskyblue", 0x00bfff),
    ("dimgray", 0x696969),
    ("dimgrey", 0x696969),
    ("dodgerblue", 0x1e90ff),
    ("firebrick", 0xb22222),
    ("floralwhite", 0xfffaf0),
    ("forestgreen", 0x228b22),
    ("fuchsia", 0xff00ff),
    ("gainsboro", 0xdcdcdc),
    ("ghostwhite", 0xf8f8ff),
    ("gold", 0xffd700),
    ("goldenrod", 0xdaa520),
    ("gray", 0x808080),
    ("green", 0x008000),
    ("greenyellow", 0xadff2f),
    ("grey", 0x808080),
    ("honeydew", 0xf0fff0),
    ("hotpink", 0xff69b4),
    ("indianred", 0xcd5c5c),
    ("indigo", 0x4b0082),
    ("ivory", 0xfffff0),
    ("khaki", 0xf0e68c),
    ("lavender", 0xe6e6fa),
    ("lavenderblush", 0xfff0f5),
    ("lawngreen", 0x7cfc00),
    ("lemonchiffon", 0xfffacd),
    ("lightblue", 0xadd8e6),
    ("lightcoral", 0xf08080),
    ("lightcyan", 0xe0ffff),
    ("lightgoldenrodyellow", 0xfafad2),
    ("lightgray", 0xd3d3d3),
    ("lightgreen", 0x90ee90),
    ("lightgrey", 0xd3d3d3),
    ("lightpink", 0xffb6c1),
    ("lightsalmon", 0xffa07a),
    ("lightseagreen", 0x20b2aa),
    ("lightskyblue", 0x87cefa),
    ("lightslategray", 0x778899),
    ("lightslategrey", 0x778899),
    ("lightsteelblue", 0xb0c4de),
    ("lightyellow", 0xffffe0),
    ("lime", 0x00ff00),
    ("limegreen", 0x32cd32),
    ("linen", 0xfaf0e6),
    ("magenta", 0xff00ff),
    ("maroon", 0x800000),
    ("mediumaquamarine", 0x66cdaa),
    ("mediumblue", 0x0000cd),
    ("mediumorchid", 0xba55d3),
    ("mediumpurple", 0x9370db),
    ("mediumseagreen", 0x3cb371),
    ("mediumslateblue", 0x7b68ee),
    ("mediumspringgreen", 0x00fa9a),
    ("mediumturquoise", 0x48d1cc),
    ("mediumvioletred", 0xc71585),
    ("midnightblue", 0x191970),
    ("mintcream", 0xf5fffa),
    ("mistyrose", 0xffe4e1),
    ("moccasin", 0xffe4b5),
    ("navajowhite", 0xffdead),
    ("navy", 0x000080),
    ("oldlace", 0xfdf5e6),
    ("olive", 0x808000),
    ("olivedrab", 0x6b8e23),
    ("orange", 0xffa500),
    ("orangered", 0xff4500),
    ("orchid", 0xda70d6),
    ("palegoldenrod", 0xeee8aa),
    ("palegreen", 0x98fb98),
    ("paleturquoise", 0xafeeee),
    ("palevioletred", 0xdb7093),
    ("papayawhip", 0xffefd5),
    ("peachpuff", 0xffdab9),
    ("peru", 0xcd853f),
    ("pink", 0xffc0cb),
    ("plum", 0xdda0dd),
    ("powderblue", 0xb0e0e6),
    ("purple", 0x800080),
    ("rebeccapurple", 0x663399),
    ("red", 0xff0000),
    ("rosybrown", 0xbc8f8f),
    ("royalblue", 0x4169e1),
    ("saddlebrown", 0x8b4513),
    ("salmon", 0xfa8072),
    ("sandybrown", 0xf4a460),
    ("seagreen", 0x2e8b57),
    ("seashell", 0xfff5ee),
    ("sienna", 0xa0522d),
    ("silver", 0xc0c0c0),
    ("skyblue", 0x87ceeb),
    ("slateblue", 0x6a5acd),
    ("slategray", 0x708090),
    ("slategrey", 0x708090),
    ("snow", 0xfffafa),
    ("springgreen", 0x00ff7f),
    ("steelblue", 0x4682b4),
    ("tan", 0xd2b48c),
    ("teal", 0x008080),
    ("thistle", 0xd8bfd8),
    ("tomato", 0xff6347),
    ("turquoise", 0x40e0d0),
    ("violet", 0xee82ee),
    ("wheat", 0xf5deb3),
    ("white", 0xffffff),
    ("whitesmoke", 0xf5f5f5),
    ("yellow", 0xffff00),
    ("yellowgreen", 0x9acd32),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_in_every_form() {
        for (text, want) in [
            ("red", [255.0, 0.0, 0.0, 255.0]),
            ("RebeccaPurple", [102.0, 51.0, 153.0, 255.0]),
            ("#1234", [17.0, 34.0, 51.0, 68.0]),
            ("#14b43c", [20.0, 180.0, 60.0, 255.0]),
            ("rgb(10%,20%,30%)", [26.0, 51.0, 77.0, 255.0]),
            ("rgb(20, 180, 60)", [20.0, 180.0, 60.0, 255.0]),
            ("rgba(1,2,3,4)", [1.0, 2.0, 3.0, 4.0]),
            ("hsl(120,50%,50%)", [64.0, 191.0, 64.0, 255.0]),
            ("hsv(120,50%,50%)", [64.0, 128.0, 64.0, 255.0]),
            ("(20,180,60)", [20.0, 180.0, 60.0, 255.0]),
            ("(20, 180)", [20.0, 180.0, 0.0, 255.0]),
            ("(1, 2, 3, 4)", [1.0, 2.0, 3.0, 4.0]),
        ] {
            assert_eq!(parse(text), Some(want), "{text}");
        }
        for text in ["no such colour", "#12345", "rgb(1,2)", "(1,2,3,4,5)", "(a)", "rgb(1,2,3"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(NAMES.is_sorted_by_key(|(name, _)| name));
    }
}
