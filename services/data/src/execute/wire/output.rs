//! Messages on their way out: small ones together, large values as they are.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::failure::Failure;
use crate::render::Value;

/// From this size on a value is not copied. In bytes.
const LARGE: usize = 64 * 1024;

/// What is to be sent.
#[derive(Default)]
pub(super) struct Output {
    /// What comes before the small messages, in order.
    parts: Vec<Bytes>,
    /// The newest small messages.
    pub(super) small: BytesMut,
}

impl Output {
    /// Binds values to a statement, in the unnamed portal; results come in binary form. Source: PostgreSQL documentation,
    /// "Message Formats", Bind.
    pub(super) fn bind(&mut self, statement: &str, values: &[Value]) -> Result<(), Failure> {
        let count = u16::try_from(values.len()).map_err(|_| Failure::TooManyValues)?;
        let of_values: usize = values.iter().map(|value| 4 + bytes(value).len()).sum();
        let length = 4 + 1 + statement.len() + 1 + 2 + 2 * values.len() + 2 + of_values + 2 + 2;
        let length = i32::try_from(length).map_err(|_| Failure::TooManyValues)?;
        self.small.put_u8(b'B');
        self.small.put_i32(length);
        self.small.put_u8(0);
        self.small.put_slice(statement.as_bytes());
        self.small.put_u8(0);
        self.small.put_u16(count);
        for value in values {
            self.small.put_i16(i16::from(matches!(value, Value::Binary(_))));
        }
        self.small.put_u16(count);
        for value in values {
            let value = bytes(value);
            // the whole message has an i32 for its length
            self.small.put_u32(value.len() as u32);
            if value.len() < LARGE {
                self.small.put_slice(value);
            } else {
                self.parts.push(self.small.split().freeze());
                self.parts.push(value.clone());
            }
        }
        self.small.put_i16(1);
        self.small.put_i16(1);
        Ok(())
    }

    /// Sends all.
    pub(super) async fn send(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        for part in std::mem::take(&mut self.parts) {
            stream.write_all(&part).await?;
        }
        stream.write_all(&self.small).await?;
        stream.flush().await?;
        self.small.clear();
        Ok(())
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.small.clear();
    }
}

fn bytes(value: &Value) -> &Bytes {
    match value {
        Value::Text(bytes) | Value::Binary(bytes) => bytes,
    }
}
