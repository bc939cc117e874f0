//! Protobuf's wire format: numbered fields, each a number or a run of bytes.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub number: u32,
    pub payload: Payload<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A varint, or the bits of a fixed-size number.
    Number(u64),
    Bytes(&'a [u8]),
}

#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    #[error("the message is cut off")]
    CutOff,
    #[error("wire type {0} is unknown")]
    WireType(u64),
}

/// Takes the next field off a message; `None` at its end.
pub fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<Field<'a>>, WireError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let tag = varint(rest)?;
    let payload = match tag & 7 {
        0 => Payload::Number(varint(rest)?),
        1 => Payload::Number(u64::from_le_bytes(fixed(rest)?)),
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_| WireError::CutOff)?;
            let (bytes, after) = rest.split_at_checked(length).ok_or(WireError::CutOff)?;
            *rest = after;
            Payload::Bytes(bytes)
        }
        5 => Payload::Number(u32::from_le_bytes(fixed(rest)?).into()),
        other => return Err(WireError::WireType(other)),
    };
    Ok(Some(Field { number: (tag >> 3) as u32, payload }))
}

fn varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().ok_or(WireError::CutOff)?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(WireError::CutOff)
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], WireError> {
    let (bytes, after) = rest.split_first_chunk::<N>().ok_or(WireError::CutOff)?;
    *rest = after;
    Ok(*bytes)
}

/// Appends a number.
pub fn number(field: u32, value: u64, out: &mut Vec<u8>) {
    put_varint(u64::from(field) << 3, out);
    put_varint(value, out);
}

/// Appends a fixed-size fraction.
pub fn float(field: u32, value: f64, out: &mut Vec<u8>) {
    put_varint(u64::from(field) << 3 | 1, out);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Appends a run of bytes.
pub fn bytes(field: u32, value: &[u8], out: &mut Vec<u8>) {
    lead(field, value.len(), out);
    out.extend_from_slice(value);
}

/// Appends what comes before a run of `length` bytes.
pub fn lead(field: u32, length: usize, out: &mut Vec<u8>) {
    put_varint(u64::from(field) << 3 | 2, out);
    put_varint(length as u64, out);
}

/// Opens a message within the one being written; [`end`] is given what this answers.
pub fn begin(field: u32, out: &mut Vec<u8>) -> usize {
    lead(field, 0, out);
    out.len()
}

/// Closes the message whose content began at `start`: its length goes before it.
pub fn end(start: usize, out: &mut Vec<u8>) {
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(5);
    put_varint(length as u64, &mut prefix);
    out.splice(start - 1..start, prefix);
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
