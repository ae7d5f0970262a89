use std::io::{self, Write};

use super::{Medium, Screen};
use crate::text::encode;

/// Takes text for people: where the locale's encoding is not UTF-8, it becomes ASCII. Whole pieces of
/// text are to be written.
#[derive(Debug)]
pub struct Encoded<M>(pub M);

impl<M: Medium> Write for Encoded<M> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(encode(text).as_bytes())?,
            Err(_) => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<M: Medium> Medium for Encoded<M> {
    fn end(&mut self) -> io::Result<()> {
        self.0.end()
    }

    fn screen(&self) -> Screen {
        self.0.screen()
    }

    fn has_room(&mut self) -> bool {
        self.0.has_room()
    }
}
