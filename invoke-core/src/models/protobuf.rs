//! Protocol buffers as bytes: fields with numbers, one after the other. Every length is held to what is there.

/// One field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A whole number or truth value.
    Number(u64),
    /// Four bytes, such as a float's.
    Four([u8; 4]),
    /// Eight bytes.
    Eight([u8; 8]),
    /// A text, bytes, another message, or many numbers.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(crate) fn number(self) -> Result<u64, String> {
        match self {
            Self::Number(n) => Ok(n),
            _ => Err("a field is no number".into()),
        }
    }

    pub(crate) fn float(self) -> Result<f32, String> {
        match self {
            Self::Four(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err("a field is no float".into()),
        }
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err("a field is no text or message".into()),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a text is not UTF-8".into())
    }

    /// Whole numbers, alone or many at once, put behind `to`.
    pub(crate) fn numbers(self, to: &mut Vec<i64>) -> Result<(), String> {
        match self {
            Self::Number(n) => to.push(n as i64),
            Self::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    to.push(number(&mut bytes)? as i64);
                }
            }
            _ => return Err("a field is no list of numbers".into()),
        }
        Ok(())
    }

    /// Floats, alone or many at once, put behind `to`.
    pub(crate) fn floats(self, to: &mut Vec<f32>) -> Result<(), String> {
        match self {
            Self::Four(bytes) => to.push(f32::from_le_bytes(bytes)),
            Self::Bytes(bytes) if bytes.len() % 4 == 0 => {
                let (fours, _) = bytes.as_chunks::<4>();
                to.extend(fours.iter().map(|four| f32::from_le_bytes(*four)));
            }
            _ => return Err("a field is no list of floats".into()),
        }
        Ok(())
    }
}

/// The fields of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    /// The next field's number and value; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = number(&mut self.0)?;
        let value = match tag & 7 {
            0 => Value::Number(number(&mut self.0)?),
            1 => Value::Eight(self.take()?),
            2 => {
                let length = number(&mut self.0)?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let Some((bytes, rest)) = self.0.split_at_checked(length) else {
                    return Err(format!("a field of {length} bytes where {} are left", self.0.len()));
                };
                self.0 = rest;
                Value::Bytes(bytes)
            }
            5 => Value::Four(self.take()?),
            other => return Err(format!("a field of kind {other}")),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let Some((bytes, rest)) = self.0.split_first_chunk::<N>() else {
            return Err("a field is cut off".into());
        };
        self.0 = rest;
        Ok(*bytes)
    }
}

/// A number of seven bits a byte, the least first; all but the last have the eighth.
fn number(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut n = 0_u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        n |= u64::from(byte & 0x7f) << (7 * i as u32).min(63);
        if byte & 0x80 == 0 {
            *bytes = &bytes[i + 1..];
            return Ok(n);
        }
    }
    Err("a number is cut off or too long".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read() {
        let bytes = [
            0x08, 0x96, 0x01, 0x12, 0x02, b'o', b'k', 0x1d, 0, 0, 0x80, 0x3f, 0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0x01,
        ];
        let mut fields = Fields(&bytes);
        assert_eq!(fields.next(), Ok(Some((1, Value::Number(150)))));
        assert_eq!(fields.next().unwrap().unwrap().1.text(), Ok("ok"));
        assert_eq!(fields.next().unwrap().unwrap().1.float(), Ok(1.0));
        let mut list = Vec::new();
        fields.next().unwrap().unwrap().1.numbers(&mut list).unwrap();
        assert_eq!(list, [-1]);
        assert_eq!(fields.next(), Ok(None));
    }

    #[test]
    fn lengths_beyond_the_end_are_refused() {
        for bytes in [
            &[0x12, 0x05, b'x'][..],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x0d, 0, 0],
            &[0x80],
            &[0x0b],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ] {
            assert!(Fields(bytes).next().is_err(), "{bytes:?}");
        }
    }
}
