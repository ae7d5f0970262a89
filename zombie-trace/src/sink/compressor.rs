use std::{fmt, io, io::Write as _};

use zstd::stream::write::Encoder;

/// It makes a sixteenth of JSON Lines, at 900 MB a second; 2 and 3 were measured to make more.
const LEVEL: i32 = 1;

/// Makes zstd of whole lines. Each piece ends a block: what has been written can be read back though
/// nothing follows, and the next piece still profits by what was before.
pub(super) struct Compressor(Encoder<'static, Vec<u8>>);

impl Compressor {
    pub(super) fn new() -> io::Result<Self> {
        let mut encoder = Encoder::new(Vec::new(), LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Self(encoder))
    }

    /// Takes in a piece.
    pub(super) fn piece(&mut self, lines: &[u8]) -> io::Result<()> {
        self.0.write_all(lines)?;
        self.0.flush()
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.0.do_finish()
    }

    /// What is to be written; whoever writes it takes it out.
    pub(super) fn ready(&mut self) -> &mut Vec<u8> {
        self.0.get_mut()
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compressor").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const LINES: u64 = 60;

    fn line(number: u64) -> String {
        format!("{{\"type\":\"zombie\",\"pid\":{}}}\n", number * number)
    }

    /// What can be read of a file that is cut after so many bytes.
    fn readable(bytes: &[u8]) -> (Vec<u8>, io::Result<()>) {
        let mut decoder = zstd::stream::read::Decoder::new(bytes).unwrap();
        let mut text = Vec::new();
        let mut piece = [0; 7];
        loop {
            match decoder.read(&mut piece) {
                Ok(0) => return (text, Ok(())),
                Ok(len) => text.extend_from_slice(&piece[..len]),
                Err(error) => return (text, Err(error)),
            }
        }
    }

    #[test]
    fn cut_anywhere_it_can_be_read_up_to_the_last_whole_line() {
        let mut compressor = Compressor::new().unwrap();
        let mut text = String::new();
        // For each piece: so many bytes hold so much text.
        let mut ends = vec![(0, 0)];
        for number in 0..LINES {
            let piece = match number % 3 {
                0 => line(number),
                _ => line(number) + &line(number + 1),
            };
            compressor.piece(piece.as_bytes()).unwrap();
            text += &piece;
            ends.push((compressor.ready().len(), text.len()));
        }
        compressor.end().unwrap();
        let bytes = compressor.ready().clone();
        for cut in 0..bytes.len() {
            let (read, end) = readable(&bytes[..cut]);
            let held = ends.iter().rev().find(|(bytes, _)| *bytes <= cut).unwrap();
            // A block that is stored as it is can be read in part.
            assert!(text.as_bytes().starts_with(&read), "cut at {cut}");
            assert!(read.len() >= held.1, "cut at {cut}");
            assert!(end.is_err() || cut == 0, "a cut at {cut} goes unnoticed");
        }
        let (read, end) = readable(&bytes);
        assert!(read == text.as_bytes() && end.is_ok());
    }

    #[test]
    fn small_pieces_profit_by_what_was_before() {
        let mut compressor = Compressor::new().unwrap();
        let mut len = 0;
        for number in 0..1000 {
            let line = line(number);
            compressor.piece(line.as_bytes()).unwrap();
            len += line.len();
        }
        assert!(compressor.ready().len() < len, "{len}");
    }
}
