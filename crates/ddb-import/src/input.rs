//! The input as records: lines, or rows of CSV, with where each of them is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use ops_common::error::Error;
use sha2::{Digest, Sha256};

use crate::s3_export::S3Export;

/// An item has at most 400 KB; with every character escaped and every value of
/// the shortest kind it takes less than this.
const MAX_RECORD_BYTES: usize = 4 << 20;
const BUFFER_BYTES: usize = 256 << 10;

/// Where items come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Stdin,
    File(PathBuf),
    /// data files, one behind the other
    S3Export(Arc<S3Export>),
}

impl Source {
    /// As messages name it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "(standard input)".to_owned(),
            Self::File(file) => file.display().to_string(),
            Self::S3Export(export) => export.name(),
        }
    }
}

/// How far into the input: everything before it is done, or read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Position {
    /// lines before it, in all files
    pub(crate) line: u64,
    /// bytes before it, unpacked
    pub(crate) offset: u64,
    /// of these bytes
    pub(crate) hash: Sha256,
}

/// Reads records one after the other.
pub(crate) struct Records {
    reader: BufReader<Box<dyn Read + Send>>,
    /// whether a record may have line breaks in quotes
    quotes: bool,
    hashed: bool,
    /// of the file that is read
    name: Arc<str>,
    /// lines of the files before it
    lines_before: u64,
    /// the export, which of its files comes next, and the one that is read
    export: Option<(Arc<S3Export>, usize, Option<File>)>,
    position: Position,
    /// the line of the file that the record begins at, from 1
    first_line: u64,
    record: Vec<u8>,
    /// the record's line end was not reached: it is too long
    cut: bool,
    /// packed bytes that were read, and that there are
    pub(crate) taken: Arc<AtomicU64>,
    pub(crate) size: Option<u64>,
}

/// Unpacks what begins as gzip does, whatever its name; no JSON or CSV does.
enum Sniffing<R> {
    Unread(BufReader<R>),
    Plain(BufReader<R>),
    Gzip(Box<MultiGzDecoder<BufReader<R>>>),
    /// for the moment between the first and one of the others
    Decided,
}

fn sniffing(input: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(Sniffing::Unread(BufReader::with_capacity(BUFFER_BYTES, input)))
}

impl<R: Read> Read for Sniffing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Self::Unread(input) = self {
            let gzip = input.fill_buf()?.starts_with(b"\x1f\x8b");
            *self = match std::mem::replace(self, Self::Decided) {
                Self::Unread(input) if gzip => Self::Gzip(Box::new(MultiGzDecoder::new(input))),
                Self::Unread(input) => Self::Plain(input),
                decided => decided,
            };
        }
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Gzip(input) => input.read(buffer),
            Self::Unread(_) | Self::Decided => Ok(0),
        }
    }
}

struct Counting(File, Arc<AtomicU64>);

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Records {
    /// Opens the input. `hashed`: positions are to have the hash of what is
    /// before them.
    pub(crate) fn open(source: &Source, quotes: bool, hashed: bool) -> Result<Self, Error> {
        let taken = Arc::new(AtomicU64::new(0));
        let name = source.name();
        let mut export = None;
        let (reader, size): (Box<dyn Read + Send>, _) = match source {
            Source::Stdin => (sniffing(io::stdin()), None),
            Source::File(file) => {
                let opened = File::open(file).and_then(|open| Ok((open.metadata()?, open)));
                let (metadata, open) = opened.map_err(|error| cannot_read(&name, &error))?;
                let size = metadata.is_file().then_some(metadata.len());
                (sniffing(Counting(open, Arc::clone(&taken))), size)
            }
            Source::S3Export(of) => {
                export = Some((Arc::clone(of), 0, None));
                (Box::new(io::empty()), of.size())
            }
        };
        Ok(Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, reader),
            quotes,
            hashed,
            name: name.into(),
            lines_before: 0,
            export,
            position: Position::default(),
            first_line: 0,
            record: Vec::new(),
            cut: false,
            taken,
            size,
        })
    }

    /// Whether the next record has to be waited for.
    pub(crate) fn has_to_wait(&self) -> bool {
        !self.reader.buffer().contains(&b'\n')
    }

    /// Whether nothing comes any more.
    pub(crate) fn is_at_end(&mut self) -> Result<bool, Error> {
        loop {
            match self.reader.fill_buf() {
                Ok(buffer) if !buffer.is_empty() => return Ok(false),
                Ok(_) => {}
                Err(error) => return Err(self.broken(&error)),
            }
            if !self.begin_next()? {
                return Ok(true);
            }
        }
    }

    /// Goes to the next data file of an export. `false`: there is none.
    fn begin_next(&mut self) -> Result<bool, Error> {
        let Some((export, next, reading)) = &mut self.export else { return Ok(false) };
        if let (Some(file), Some(done)) = (reading.take(), next.checked_sub(1)) {
            let done = &export.files[done];
            done.refuse_another(&file)?;
            let lines = self.position.line - self.lines_before;
            if lines != done.items {
                return Err(Error::new(format!("`{}` changed while it was read", self.name))
                    .cause(format!("it had {} lines, and now it has {lines}", done.items)));
            }
        }
        let Some(file) = export.files.get(*next) else { return Ok(false) };
        *next += 1;
        self.name = file.path.display().to_string().into();
        let opened = File::open(&file.path).and_then(|open| Ok((open.try_clone()?, open)));
        let (kept, open) = opened.map_err(|error| cannot_read(&self.name, &error))?;
        file.refuse_another(&open)?;
        *reading = Some(kept);
        let unpacked = sniffing(Counting(open, Arc::clone(&self.taken)));
        self.reader = BufReader::with_capacity(BUFFER_BYTES, unpacked);
        self.lines_before = self.position.line;
        Ok(true)
    }

    /// The lines of the file that is read, where they are known.
    fn lines_here(&self) -> u64 {
        let export = self.export.as_ref();
        let file = export.and_then(|(export, next, _)| export.files.get(next.checked_sub(1)?));
        file.map_or(0, |file| file.items)
    }

    /// Just behind the last record.
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// Goes to the next record that is not blank. `false`: there is none.
    pub(crate) fn advance(&mut self) -> Result<bool, Error> {
        loop {
            self.record.clear();
            self.record.shrink_to(BUFFER_BYTES);
            self.first_line = self.position.line - self.lines_before + 1;
            if !self.read_record().map_err(|error| self.broken(&error))? {
                if self.begin_next()? {
                    continue;
                }
                return Ok(false);
            }
            if self.position.offset == self.record.len() as u64
                && self.record.starts_with(b"\xef\xbb\xbf")
            {
                self.record.drain(..3);
            }
            while self.record.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                self.record.pop();
            }
            // A row of spaces can be an item.
            let blank = if self.quotes { &self.record } else { self.record.trim_ascii() };
            if self.cut || !blank.is_empty() {
                return Ok(true);
            }
        }
    }

    fn read_record(&mut self) -> io::Result<bool> {
        self.cut = false;
        let mut open_quote = false;
        loop {
            let start = self.record.len();
            let room = MAX_RECORD_BYTES - start;
            (&mut self.reader).take(room as u64).read_until(b'\n', &mut self.record)?;
            let piece = &self.record[start..];
            if piece.is_empty() && room > 0 {
                break;
            }
            self.position.offset += piece.len() as u64;
            if self.hashed {
                self.position.hash.update(piece);
            }
            if !piece.ends_with(b"\n") {
                // Either the input's end or more than a record can have.
                self.cut = self.record.len() == MAX_RECORD_BYTES;
                break;
            }
            self.position.line += 1;
            if self.quotes && piece.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
                open_quote = !open_quote;
            }
            if !open_quote {
                break;
            }
        }
        if !self.record.is_empty() && !self.record.ends_with(b"\n") && !self.cut {
            self.position.line += 1;
        }
        Ok(!self.record.is_empty())
    }

    /// The record without its line end. `None`: it is longer than any item.
    pub(crate) fn record(&self) -> Option<&[u8]> {
        (!self.cut).then_some(&self.record)
    }

    /// Why there is no record.
    pub(crate) fn too_long() -> String {
        format!("longer than {} MiB, and an item has at most 400 KB", MAX_RECORD_BYTES >> 20)
    }

    /// Copies a line that is too long, with its line end, and is behind it then.
    pub(crate) fn copy_long_line(&mut self, out: &mut dyn Write) -> Result<(), Error> {
        let failed = |error| Error::new("cannot write the rejected line").cause(error);
        out.write_all(&self.record).map_err(failed)?;
        let odd = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
        let mut open_quote = self.quotes && odd(&self.record);
        loop {
            self.record.clear();
            let read = (&mut self.reader)
                .take(BUFFER_BYTES as u64)
                .read_until(b'\n', &mut self.record)
                .map_err(|error| self.broken(&error))?;
            self.position.offset += read as u64;
            if self.hashed {
                self.position.hash.update(&self.record);
            }
            out.write_all(&self.record).map_err(failed)?;
            open_quote ^= self.quotes && odd(&self.record);
            let line_end = self.record.ends_with(b"\n");
            self.position.line += u64::from(line_end || read == 0);
            if read == 0 || line_end && !open_quote {
                break;
            }
        }
        if !self.record.ends_with(b"\n") {
            out.write_all(b"\n").map_err(failed)?;
        }
        self.cut = false;
        Ok(())
    }

    /// `FILE:LINE` of the record.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.name, self.first_line)
    }

    /// The file, and the line in it that the record begins at.
    pub(crate) fn file_and_line(&self) -> (Arc<str>, u64) {
        (Arc::clone(&self.name), self.first_line)
    }

    /// Skips to where an earlier run was. `false`: the input has not the same
    /// bytes before that place.
    pub(crate) fn skip_to(&mut self, line: u64, offset: u64, sha256: &str) -> Result<bool, Error> {
        let mut left = offset.saturating_sub(self.position.offset);
        while left > 0 {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) => return Err(self.broken(&error)),
            };
            let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if length == 0 {
                // As many as it has: what differs is seen by the hash.
                self.position.line = self.lines_before + self.lines_here();
                if self.begin_next()? {
                    continue;
                }
                return Ok(false);
            }
            self.position.hash.update(&buffer[..length]);
            self.reader.consume(length);
            left -= length as u64;
        }
        self.position.offset = offset;
        self.position.line = line;
        Ok(self.position.sha256() == sha256)
    }

    fn broken(&self, error: &io::Error) -> Error {
        let line = self.position.line - self.lines_before + 1;
        let result = cannot_read(&self.name, error);
        match error.kind() {
            io::ErrorKind::UnexpectedEof => result
                .cause(format!("its gzip stream ends in the middle, in line {line}"))
                .hint("the file was cut: get it again"),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => result
                .cause(format!("its gzip stream is damaged, in line {line}"))
                .hint("get the file again"),
            _ => result,
        }
    }
}

impl Position {
    /// The hash of what is before it, in hexadecimal.
    pub(crate) fn sha256(&self) -> String {
        self.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn cannot_read(name: &str, error: &io::Error) -> Error {
    let read = Error::new(format!("cannot read `{name}`")).cause(error);
    match error.kind() {
        io::ErrorKind::NotFound => {
            read.hint("name a file that is there, or `-` for standard input")
        }
        _ => read,
    }
}
