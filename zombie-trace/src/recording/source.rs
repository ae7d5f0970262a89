use std::{
    ffi::OsStr,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek as _},
    path::Path,
};

use zstd::Decoder;

/// The first bytes of what is compressed with zstd (RFC 8878, 3.1.1).
const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
const BUFFER: usize = 64 * 1024;
/// What a frame may ask for to be decompressed, as a power of two: a bound on memory. Levels up to 20
/// of zstd(1) need no more; zombie-trace's own files need 2 MiB.
const LARGEST_WINDOW_LOG2: u32 = 25;

/// Opens a file, or standard input for `-`.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    if path.as_os_str() == OsStr::new("-") {
        return decompressed(io::stdin());
    }
    decompressed(File::open(path)?)
}

/// A recording that can be read from any line on: the file itself, or a temporary one without a name with
/// what it holds compressed. Of damaged data, it holds what comes before the damage.
#[cfg(feature = "top")]
pub(crate) fn seekable(path: &Path) -> io::Result<File> {
    let mut file = File::open(path)?;
    let mut begin = Vec::new();
    file.by_ref().take(4).read_to_end(&mut begin)?;
    file.rewind()?;
    if begin != MAGIC {
        return Ok(file);
    }
    let mut unpacked = tempfile::tempfile()?;
    match io::copy(&mut decompressed(file)?, &mut unpacked) {
        Err(error) if error.raw_os_error().is_some() => return Err(error),
        _ => {}
    }
    unpacked.rewind()?;
    Ok(unpacked)
}

/// As it is, or decompressed: its first bytes tell.
pub(super) fn decompressed(mut input: impl Read + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut begin = Vec::new();
    input.by_ref().take(4).read_to_end(&mut begin)?;
    let compressed = begin == MAGIC;
    let input = BufReader::with_capacity(BUFFER, io::Cursor::new(begin).chain(input));
    Ok(if compressed {
        let mut decoder = Decoder::with_buffer(input)?;
        decoder.window_log_max(LARGEST_WINDOW_LOG2)?;
        Box::new(BufReader::with_capacity(BUFFER, decoder))
    } else {
        Box::new(input)
    })
}
