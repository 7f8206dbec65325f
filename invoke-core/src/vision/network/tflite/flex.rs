//! FlexBuffers, in which TFLite keeps the settings of operators of one's own: a map of numbers and lists of numbers.

use super::flat::{Flaw, bytes};

/// Most numbers of a list.
const MOST: u64 = 1 << 16;

/// A value: where it lies, how many bytes its numbers have, and what it is.
#[derive(Debug, Clone, Copy)]
struct Value<'a> {
    data: &'a [u8],
    /// Where it stands itself: a number of `own` bytes.
    at: usize,
    own: usize,
    /// Bytes of the numbers of what it leads to.
    width: usize,
    kind: u8,
}

/// A number without sign, of `width` bytes.
fn whole(data: &[u8], at: usize, width: usize) -> Result<u64, Flaw> {
    Ok(match width {
        1 => bytes::<1>(data, at)?[0].into(),
        2 => u16::from_le_bytes(bytes(data, at)?).into(),
        4 => u32::from_le_bytes(bytes(data, at)?).into(),
        _ => u64::from_le_bytes(bytes(data, at)?),
    })
}

/// A place that lies `back` before `at`.
fn before(at: usize, back: u64) -> Result<usize, Flaw> {
    usize::try_from(back)
        .ok()
        .and_then(|back| at.checked_sub(back))
        .ok_or_else(|| format!("an offset of {back} at {at} leads before its beginning"))
}

/// A number with sign or with a fraction, of `width` bytes.
fn number(data: &[u8], at: usize, width: usize, kind: u8) -> Result<f64, Flaw> {
    let raw = whole(data, at, width)?;
    let unused = 64 - 8 * width as u32;
    match kind {
        1 => Ok(((raw << unused) as i64 >> unused) as f64),
        2 => Ok(raw as f64),
        3 if width == 4 => Ok(f32::from_bits(raw as u32).into()),
        3 if width == 8 => Ok(f64::from_bits(raw)),
        _ => Err(format!("a value of the kind {kind} in {width} bytes, expected a number")),
    }
}

impl Value<'_> {
    fn target(&self) -> Result<usize, Flaw> {
        before(self.at, whole(self.data, self.at, self.own)?)
    }

    fn number(&self) -> Result<f64, Flaw> {
        if (1..=3).contains(&self.kind) {
            number(self.data, self.at, self.own, self.kind)
        } else {
            Err(format!("a value of the kind {}, expected a number", self.kind))
        }
    }

    /// The numbers of a list.
    fn numbers(&self) -> Result<Vec<f64>, Flaw> {
        let start = self.target()?;
        let count = match self.kind {
            10..=13 => whole(self.data, before(start, self.width as u64)?, self.width)?,
            _ => return Err(format!("a value of the kind {}, expected a list of numbers", self.kind)),
        };
        if count > MOST {
            return Err(format!("a list of {count} numbers, expected {MOST} at most"));
        }
        let count = count as usize;
        (0..count)
            .map(|i| {
                let at = start + i * self.width;
                match self.kind {
                    // Each entry says what it is, in a byte behind all of them.
                    10 => number(
                        self.data,
                        at,
                        self.width,
                        bytes::<1>(self.data, start + count * self.width + i)?[0] >> 2,
                    ),
                    kind => number(self.data, at, self.width, kind - 10),
                }
            })
            .collect()
    }
}

/// Settings by name.
#[derive(Debug)]
pub(super) struct Map<'a>(Vec<(&'a [u8], Value<'a>)>);

impl<'a> Map<'a> {
    pub(super) fn parse(data: &'a [u8]) -> Result<Self, Flaw> {
        let [.., packed, own] = data else {
            return Err("an operator's settings have no end".to_owned());
        };
        let (kind, width, own) = (packed >> 2, 1_usize << (packed & 3), usize::from(*own));
        if kind != 9 || ![1, 2, 4, 8].contains(&own) {
            return Err(format!("an operator's settings are of the kind {kind}, expected a map"));
        }
        let at = before(data.len(), own as u64 + 2)?;
        let root = Value {
            data,
            at,
            own,
            width,
            kind,
        };
        let start = root.target()?;
        // Before the values stand how many there are, how wide the names' offsets are, and where those lie.
        let header = before(start, 3 * width as u64)?;
        let names = before(header, whole(data, header, width)?)?;
        let names_width = whole(data, header + width, width)? as usize;
        let count = whole(data, header + 2 * width, width)?;
        if count > 64 || ![1, 2, 4, 8].contains(&names_width) {
            return Err(format!("an operator has {count} settings with names of width {names_width}"));
        }
        let count = count as usize;
        let entry = |i: usize| -> Result<_, Flaw> {
            let at = names + i * names_width;
            let name = data.get(before(at, whole(data, at, names_width)?)?..).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            let packed = bytes::<1>(data, start + count * width + i)?[0];
            let value = Value {
                data,
                at: start + i * width,
                own: width,
                width: 1 << (packed & 3),
                kind: packed >> 2,
            };
            Ok((name, value))
        };
        Ok(Self((0..count).map(entry).collect::<Result<_, _>>()?))
    }

    fn get(&self, name: &str) -> Result<&Value<'a>, Flaw> {
        let found = self.0.iter().find(|(key, _)| *key == name.as_bytes());
        found
            .map(|(_, value)| value)
            .ok_or_else(|| format!("an operator lacks the setting `{name}`"))
    }

    pub(super) fn number(&self, name: &str) -> Result<f64, Flaw> {
        self.get(name)?.number()
    }

    /// A number that counts or points.
    pub(super) fn count(&self, name: &str) -> Result<usize, Flaw> {
        as_count(self.number(name)?, name)
    }

    pub(super) fn counts(&self, name: &str) -> Result<Vec<usize>, Flaw> {
        self.get(name)?.numbers()?.into_iter().map(|v| as_count(v, name)).collect()
    }
}

fn as_count(value: f64, name: &str) -> Result<usize, Flaw> {
    if value.fract() == 0.0 && (0.0..MOST as f64).contains(&value) {
        Ok(value as usize)
    } else {
        Err(format!("an operator's `{name}` is {value}, expected a whole number below {MOST}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": 1.5, "b": [3, 300] of one kind, "c": 16, "d": [-1, 2] of any kinds}` as the format's own library writes it.
    const SETTINGS: &[u8] = &[
        97, 0, 98, 0, 2, 0, 3, 0, 44, 1, 99, 0, 100, 0, 2, 255, 2, 4, 4, 4, 20, 19, 12, 11, 4, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0, 0, 192,
        63, 34, 0, 0, 0, 16, 0, 0, 0, 33, 0, 0, 0, 14, 45, 6, 40, 20, 38, 1,
    ];

    #[test]
    fn settings_are_read() {
        let map = Map::parse(SETTINGS).unwrap();
        assert_eq!(map.number("a"), Ok(1.5));
        assert_eq!(map.counts("b"), Ok(vec![3, 300]));
        assert_eq!(map.count("c"), Ok(16));
        assert_eq!(map.get("d").unwrap().numbers(), Ok(vec![-1.0, 2.0]));
        assert!(map.count("a").unwrap_err().contains("whole number"));
        assert!(map.counts("d").unwrap_err().contains("`d` is -1"));
        assert!(map.number("b").is_err() && map.counts("c").is_err());
        assert!(map.number("e").unwrap_err().contains("lacks the setting `e`"));
    }

    #[test]
    fn whatever_is_damaged_gives_an_error_or_numbers() {
        let read = |data: &[u8]| -> Result<(), Flaw> {
            let map = Map::parse(data)?;
            let _ = (map.number("a"), map.counts("b"), map.count("c"), map.counts("d"));
            Ok(())
        };
        for end in 0..SETTINGS.len() - 1 {
            // The last two bytes are the root's kind: what remains has another, or leads nowhere.
            let _ = read(&SETTINGS[..end]);
        }
        for place in 0..SETTINGS.len() {
            for value in [0, 1, 127, 255] {
                let mut bad = SETTINGS.to_vec();
                bad[place] = value;
                let _ = read(&bad);
            }
        }
        assert!(read(&[]).is_err());
        assert!(read(&[0, 36, 1]).is_err());
    }
}
