//! FlatBuffers as TFLite uses them: tables whose fields are found through a list of offsets. Every place is checked before it is read.

/// Why a place cannot be read.
pub(super) type Flaw = String;

/// Bytes at `at`.
pub(super) fn bytes<const N: usize>(data: &[u8], at: usize) -> Result<[u8; N], Flaw> {
    at.checked_add(N)
        .and_then(|end| data.get(at..end))
        .and_then(|found| found.try_into().ok())
        .ok_or_else(|| format!("{N} bytes at {at} lie beyond its end, which is at {}", data.len()))
}

fn u16_at(data: &[u8], at: usize) -> Result<usize, Flaw> {
    Ok(u16::from_le_bytes(bytes(data, at)?).into())
}

fn u32_at(data: &[u8], at: usize) -> Result<usize, Flaw> {
    Ok(u32::from_le_bytes(bytes(data, at)?) as usize)
}

/// The place that an offset at `at` leads to.
fn follow(data: &[u8], at: usize) -> Result<usize, Flaw> {
    let offset = u32_at(data, at)?;
    // Offsets lead on: one of nothing would let a file go round in circles.
    at.checked_add(offset)
        .filter(|to| offset > 0 && *to < data.len())
        .ok_or_else(|| format!("the offset {offset} at {at} leads beyond its end"))
}

/// Lists may overlap, so that what they need together is not bounded by the file's size.
fn limited(count: usize, most: usize) -> Result<(), Flaw> {
    if count > most {
        return Err(format!("a list of {count} entries, expected {most} at most"));
    }
    Ok(())
}

/// A table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    data: &'a [u8],
    at: usize,
    /// Where its list of fields lies, and how many bytes that has.
    fields: (usize, usize),
}

impl<'a> Table<'a> {
    /// The table that a file begins with, after its four letters were compared.
    pub(super) fn root(data: &'a [u8], letters: &[u8; 4]) -> Result<Self, Flaw> {
        if bytes::<4>(data, 4)? != *letters {
            return Err(format!(
                "it does not begin as a file of the kind `{}`",
                String::from_utf8_lossy(letters)
            ));
        }
        Self::at(data, follow(data, 0)?)
    }

    fn at(data: &'a [u8], at: usize) -> Result<Self, Flaw> {
        let back = i64::from(i32::from_le_bytes(bytes(data, at)?));
        let list = usize::try_from(at as i64 - back).map_err(|_| format!("the table at {at} has its fields before the file"))?;
        let length = u16_at(data, list)?;
        if length < 4 || list + length > data.len() {
            return Err(format!("the table at {at} has a list of fields of {length} bytes"));
        }
        Ok(Self {
            data,
            at,
            fields: (list, length),
        })
    }

    /// Where a field lies, if the table has it.
    fn field(&self, index: usize) -> Result<Option<usize>, Flaw> {
        let place = 4 + 2 * index;
        if place + 2 > self.fields.1 {
            return Ok(None);
        }
        let offset = u16_at(self.data, self.fields.0 + place)?;
        Ok((offset != 0).then_some(self.at + offset))
    }

    /// A number of four bytes; one that is left out is `otherwise`.
    pub(super) fn int(&self, index: usize, otherwise: i32) -> Result<i32, Flaw> {
        self.field(index)?
            .map_or(Ok(otherwise), |at| Ok(i32::from_le_bytes(bytes(self.data, at)?)))
    }

    /// A number of one byte; one that is left out is 0.
    pub(super) fn byte(&self, index: usize) -> Result<u8, Flaw> {
        self.field(index)?.map_or(Ok(0), |at| Ok(bytes::<1>(self.data, at)?[0]))
    }

    /// A table within this one.
    pub(super) fn table(&self, index: usize) -> Result<Option<Self>, Flaw> {
        self.field(index)?.map(|at| Self::at(self.data, follow(self.data, at)?)).transpose()
    }

    /// Where a list begins and how many entries of `size` bytes it has; one that is left out has none.
    fn list(&self, index: usize, size: usize) -> Result<(usize, usize), Flaw> {
        let Some(at) = self.field(index)? else { return Ok((0, 0)) };
        let start = follow(self.data, at)?;
        let count = u32_at(self.data, start)?;
        let fits = count.checked_mul(size).is_some_and(|bytes| bytes <= self.data.len() - start - 4);
        if !fits {
            return Err(format!("the list at {start} has {count} entries, more than the file has room for"));
        }
        Ok((start + 4, count))
    }

    /// Plain bytes.
    pub(super) fn raw(&self, index: usize) -> Result<&'a [u8], Flaw> {
        let (start, count) = self.list(index, 1)?;
        Ok(&self.data[start..start + count])
    }

    /// Numbers of four bytes, `most` at most.
    pub(super) fn ints(&self, index: usize, most: usize) -> Result<Vec<i32>, Flaw> {
        let (start, count) = self.list(index, 4)?;
        limited(count, most)?;
        (0..count)
            .map(|i| Ok(i32::from_le_bytes(bytes(self.data, start + 4 * i)?)))
            .collect()
    }

    /// Tables, `most` at most.
    pub(super) fn tables(&self, index: usize, most: usize) -> Result<Vec<Self>, Flaw> {
        let (start, count) = self.list(index, 4)?;
        limited(count, most)?;
        (0..count).map(|i| Self::at(self.data, follow(self.data, start + 4 * i)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root table with a byte, a number and a list of two numbers.
    fn file() -> Vec<u8> {
        let mut data = vec![20, 0, 0, 0];
        data.extend(b"TEST");
        // The list of fields: its length, the table's, and where the fields lie; the third is left out.
        data.extend([12_u16, 16, 4, 8, 0, 12].into_iter().flat_map(u16::to_le_bytes));
        data.extend(12_i32.to_le_bytes());
        data.extend([7, 0, 0, 0]);
        data.extend((-3_i32).to_le_bytes());
        data.extend(4_u32.to_le_bytes());
        data.extend([2_u32, 5, 6].into_iter().flat_map(u32::to_le_bytes));
        data
    }

    #[test]
    fn fields_are_found() {
        let data = file();
        let table = Table::root(&data, b"TEST").unwrap();
        assert_eq!((table.byte(0), table.int(1, 9), table.int(2, 9)), (Ok(7), Ok(-3), Ok(9)));
        assert_eq!(table.ints(3, 2), Ok(vec![5, 6]));
        assert_eq!(table.raw(9), Ok(&[][..]));
        assert!(table.ints(3, 1).is_err());
        assert!(Table::root(&data, b"TFL3").is_err());
    }

    #[test]
    fn what_lies_beyond_the_end_is_refused() {
        let data = file();
        let whole = |data: &[u8]| Table::root(data, b"TEST").and_then(|t| t.ints(3, 2));
        for end in 0..data.len() {
            assert!(whole(&data[..end]).is_err(), "{end}");
        }
        for (place, value) in [(0, 200), (20, 255), (23, 0x7f), (8, 2), (8, 200), (32, 200), (36, 200), (39, 255)] {
            let mut bad = data.clone();
            bad[place] = value;
            assert!(whole(&bad).is_err(), "{place} {value}");
        }
    }
}
