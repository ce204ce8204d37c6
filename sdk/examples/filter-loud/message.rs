// SPDX-License-Identifier: Apache-2.0
//! Looks up one key of a msgpack map. Every size in the bytes is compared with what is left before it is used, and what
//! is skipped is counted, not recursed into, so no input makes it run long or deep.

/// A value as far as this plugin reads it.
pub enum Value<'a> {
    Text(&'a [u8]),
    Int(i64),
    Other,
}

/// What one item begins with: its own value, or how many bytes or items follow.
enum Head {
    Int(i64),
    Text(usize),
    Skip(usize),
    Items(u64),
    Map(u64),
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        if n > self.rest.len() {
            return None;
        }
        let (taken, rest) = self.rest.split_at(n);
        self.rest = rest;
        Some(taken)
    }

    /// A big-endian number of `n` bytes, at most eight.
    fn number(&mut self, n: usize) -> Option<u64> {
        Some(self.take(n)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn size(&mut self, n: usize) -> Option<usize> {
        usize::try_from(self.number(n)?).ok()
    }

    fn head(&mut self) -> Option<Head> {
        let first = *self.take(1)?.first()?;
        Some(match first {
            0x00..=0x7f => Head::Int(i64::from(first)),
            0x80..=0x8f => Head::Map(u64::from(first & 0x0f)),
            0x90..=0x9f => Head::Items(u64::from(first & 0x0f)),
            0xa0..=0xbf => Head::Text(usize::from(first & 0x1f)),
            0xc0 | 0xc2 | 0xc3 => Head::Skip(0),
            0xc4..=0xc6 => Head::Skip(self.size(1 << (first - 0xc4))?),
            0xc7..=0xc9 => Head::Skip(self.size(1 << (first - 0xc7))?.checked_add(1)?),
            0xca => Head::Skip(4),
            0xcb => Head::Skip(8),
            0xcc..=0xcf => Head::Int(i64::try_from(self.number(1 << (first - 0xcc))?).unwrap_or(i64::MAX)),
            0xd0..=0xd3 => {
                let bytes = 1 << (first - 0xd0);
                let unused = 64 - 8 * bytes as u32;
                Head::Int(((self.number(bytes)? << unused) as i64) >> unused)
            }
            0xd4..=0xd8 => Head::Skip((1 << (first - 0xd4)) + 1),
            0xd9..=0xdb => Head::Text(self.size(1 << (first - 0xd9))?),
            0xdc | 0xdd => Head::Items(self.number(2 << (first - 0xdc))?),
            0xde | 0xdf => Head::Map(self.number(2 << (first - 0xde))?),
            0xe0..=0xff => Head::Int(i64::from(first as i8)),
            0xc1 => return None,
        })
    }

    /// The next item with all that is in it.
    fn value(&mut self) -> Option<Value<'a>> {
        let mut found = None;
        let mut left: u64 = 1;
        while left > 0 {
            left -= 1;
            let value = match self.head()? {
                Head::Int(number) => Value::Int(number),
                Head::Text(size) => Value::Text(self.take(size)?),
                Head::Skip(size) => self.take(size).map(|_| Value::Other)?,
                Head::Items(n) => {
                    left = left.checked_add(n)?;
                    Value::Other
                }
                Head::Map(n) => {
                    left = left.checked_add(n.checked_mul(2)?)?;
                    Value::Other
                }
            };
            found = found.or(Some(value));
        }
        found
    }
}

/// The value under `key`; None where the bytes are no map that can be read so far, Some(Other) where it has no such key.
pub fn find<'a>(body: &'a [u8], key: &str) -> Option<Value<'a>> {
    let mut reader = Reader { rest: body };
    let n = match reader.head()? {
        Head::Map(n) => n,
        _ => return None,
    };
    for _ in 0..n {
        let name = reader.value()?;
        let value = reader.value()?;
        if matches!(name, Value::Text(text) if text == key.as_bytes()) {
            return Some(value);
        }
    }
    Some(Value::Other)
}
