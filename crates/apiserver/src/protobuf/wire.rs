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
