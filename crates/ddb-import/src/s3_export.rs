//! An export that DynamoDB wrote to S3 and somebody downloaded: its manifests, and its data
//! files, each looked at before anything is written.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html>

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use flate2::read::MultiGzDecoder;
use md5::{Digest as _, Md5};
use ops_common::args::Share;
use ops_common::error::Error;
use ops_common::text::count;
use ops_common::ui::Ui;
use serde::Deserialize;
use serde::de::DeserializeOwned;

const SUMMARY: &str = "manifest-summary.json";
const FILES: &str = "manifest-files.json";
/// A manifest of a million data files has less.
const MOST_MANIFEST_BYTES: u64 = 512 << 20;
const BUFFER_BYTES: usize = 256 << 10;
/// How often a log hears of it.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// So many are named one by one.
const MOST_NAMED: usize = 10;

/// `manifest-summary.json`, as far as it is used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    table_arn: String,
    /// of a full export
    export_time: Option<String>,
    /// of an incremental one: the first moment, the one after the last, and what is
    /// there of an item that changed
    export_from_time: Option<String>,
    export_to_time: Option<String>,
    output_view: Option<String>,
    /// before there were others: none
    export_type: Option<String>,
    output_format: String,
    item_count: u64,
}

/// A line of `manifest-files.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    item_count: u64,
    /// of the packed file, in base64
    md5_checksum: String,
    data_file_s3_key: String,
}

/// One file of items.
#[derive(Debug)]
pub(crate) struct DataFile {
    pub(crate) path: PathBuf,
    pub(crate) items: u64,
    md5: String,
    /// which file it was that was verified, and when it was written last
    verified: OnceLock<Stamp>,
}

/// A file as far as its folder tells: another one, or one that is written, differs.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: SystemTime,
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let is = file.metadata()?;
        Ok(Self { device: is.dev(), inode: is.ino(), size: is.len(), modified: is.modified()? })
    }
}

/// The data files of one export, or a share of them, in the manifest's order.
#[derive(Debug)]
pub(crate) struct S3Export {
    folder: PathBuf,
    pub(crate) files: Vec<DataFile>,
    /// how many the whole export has
    all_files: usize,
    table_arn: String,
    /// of what time, in words
    when: String,
    /// whether its lines are changes, and not items
    pub(crate) has_changes: bool,
}

impl S3Export {
    /// Reads the manifests of the export in `folder`, or in the one export below it.
    ///
    /// # Errors
    /// Where they are not as DynamoDB wrote them, name a file that is not there, or do
    /// not name one that is; where the export is none of items as DynamoDB's JSON.
    pub(crate) fn open(folder: &Path, share: Share) -> Result<Self, Error> {
        let folder = find(folder)?;
        let summary: Summary = parse(&folder.join(SUMMARY), 1, &manifest(&folder, SUMMARY)?)?;
        let has_changes = has_changes(&folder, &summary)?;
        if has_changes && share.of > 1 {
            return Err(Error::usage(
                "--part is for full exports: the changes of one key can be in two files",
            )
            .hint("leave --part out"));
        }
        let path = folder.join(FILES);
        let text = manifest(&folder, FILES)?;
        let lines = text.split(|byte| *byte == b'\n').enumerate();
        let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
        let entries = lines.map(|(number, line)| parse(&path, number + 1, line));
        let entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;
        // As many as no `u64` can count are wrong like any other number.
        let items: u128 = entries.iter().map(|entry| u128::from(entry.item_count)).sum();
        if items != u128::from(summary.item_count) {
            return Err(damaged(&folder)
                .cause(format!(
                    "`{FILES}` has files of {items} items, and `{SUMMARY}` says {}",
                    summary.item_count
                ))
                .hint(CONTRADICT));
        }
        let all = data_files(&folder, has_changes, &entries)?;
        let all_files = all.len();
        let place = |number: i32| usize::try_from(number).unwrap_or(1);
        let mine = all.into_iter().skip(place(share.number) - 1).step_by(place(share.of));
        let files: Vec<DataFile> = mine.collect();
        let missing: Vec<&Path> =
            files.iter().map(|file| &*file.path).filter(|path| !path.is_file()).collect();
        if !missing.is_empty() {
            return Err(damaged(&folder)
                .cause(format!(
                    "{} of {} missing, or not a file: {}",
                    count(missing.len(), "data file"),
                    files.len(),
                    named(missing.iter().map(|path| path.display().to_string()))
                ))
                .hint(AGAIN));
        }
        Ok(Self {
            folder,
            files,
            all_files,
            when: when(&summary),
            table_arn: summary.table_arn,
            has_changes,
        })
    }

    /// # Errors
    /// Where `file` would be taken for a data file.
    pub(crate) fn refuse_inside(&self, option: &str, file: &Path) -> Result<(), Error> {
        let folder = |path: &Path| {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            parent.unwrap_or(Path::new(".")).canonicalize().ok()
        };
        let data = self.files.first().and_then(|first| folder(&first.path));
        if data.is_some() && folder(file) == data {
            return Err(Error::usage(format!(
                "{option} is in the folder of the export's data files"
            ))
            .hint("name a file elsewhere: that folder is compared with the manifest"));
        }
        Ok(())
    }

    /// As messages name it.
    pub(crate) fn name(&self) -> String {
        self.folder.display().to_string()
    }

    /// Packed bytes of its files.
    pub(crate) fn size(&self) -> Option<u64> {
        self.files.iter().map(|file| Some(fs::metadata(&file.path).ok()?.len())).sum()
    }

    /// Reads every data file, on all processors, and compares it with the manifest.
    ///
    /// # Errors
    /// Where one is not what DynamoDB wrote.
    pub(crate) fn verify(&self, ui: &Ui) -> Result<(), Error> {
        let mut progress = ui.progress("verifying the export");
        let next = AtomicUsize::new(0);
        let (found, finds) = mpsc::channel();
        let mut bad = BTreeMap::new();
        let mut said = Instant::now();
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..threads.min(self.files.len()) {
                let (found, next) = (found.clone(), &next);
                scope.spawn(move || {
                    while let Some(file) = self.files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let _ = found.send((&file.path, file.verify()));
                    }
                });
            }
            drop(found);
            for (done, (path, outcome)) in finds.into_iter().enumerate() {
                let done = done + 1;
                let text = format!("verifying the export: {done} of {} files", self.files.len());
                if ui.is_terminal() {
                    progress.say(text);
                } else if said.elapsed() > SAY_EVERY {
                    said = Instant::now();
                    ui.note(text);
                }
                if let Err(why) = outcome {
                    bad.insert(path, why);
                }
            }
        });
        drop(progress);
        if bad.is_empty() {
            let of = match self.all_files {
                all if all == self.files.len() => String::new(),
                all => format!(" of {all}"),
            };
            ui.note(format_args!(
                "verified {}{of} with {}: {} {}",
                count(self.files.len(), "data file"),
                count(
                    usize::try_from(self.items()).unwrap_or(usize::MAX),
                    if self.has_changes { "change" } else { "item" }
                ),
                self.table_arn,
                self.when
            ));
            return Ok(());
        }
        for (path, why) in bad.iter().take(MOST_NAMED) {
            ui.warn(format_args!("{}: {why}", path.display()));
        }
        Err(damaged(&self.folder)
            .cause(format!(
                "of {}, {} not what the manifest says",
                count(self.files.len(), "data file"),
                if bad.len() == 1 { "1 is".to_owned() } else { format!("{} are", bad.len()) }
            ))
            // A sync by itself leaves a file of the same size and time as it is.
            .hint(
                "delete what is named, or make it readable, and download it again: `aws s3 sync`",
            ))
    }

    fn items(&self) -> u64 {
        self.files.iter().map(|file| file.items).sum()
    }
}

impl DataFile {
    /// # Errors
    /// Where `file`, which was opened as this one, is not what was verified.
    pub(crate) fn refuse_another(&self, file: &File) -> Result<(), Error> {
        let is = Stamp::of(file).ok();
        if self.verified.get().is_none_or(|verified| is.as_ref() == Some(verified)) {
            return Ok(());
        }
        Err(Error::new(format!("`{}` changed after it was verified", self.path.display()))
            .hint("does a download still run? Once it is done, run it again: what is written is written once more"))
    }

    /// The checksum is of the packed bytes, and the items are counted in the same pass.
    fn verify(&self) -> Result<(), String> {
        let file = File::open(&self.path).map_err(|error| error.to_string())?;
        let stamp = Stamp::of(&file).map_err(|error| error.to_string())?;
        // Some say nothing with no bytes rather than with none packed.
        let is_empty = stamp.size == 0;
        let mut packed = Hashing { file, md5: Md5::new() };
        let mut reader =
            MultiGzDecoder::new(io::BufReader::with_capacity(BUFFER_BYTES, &mut packed));
        let mut buffer = vec![0; BUFFER_BYTES];
        let (mut items, mut last) = (0, b'\n');
        let unpacked = loop {
            match reader.read(&mut buffer) {
                Err(_) if is_empty => break Ok(()),
                Ok(0) => break Ok(()),
                Ok(length) => {
                    let piece = &buffer[..length];
                    items += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
                    last = piece[length - 1];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        items += u64::from(last != b'\n');
        drop(reader);
        // Where it does not unpack, the checksum says whether it is as it was written.
        io::copy(&mut packed, &mut io::sink()).map_err(|error| error.to_string())?;
        let md5 = base64(&packed.md5.finalize());
        if md5 != self.md5 {
            return Err(format!("its MD5 is {md5}, and the manifest says {}", self.md5));
        }
        unpacked.map_err(|error| format!("it does not unpack: {error}"))?;
        if items != self.items {
            return Err(format!("it has {items} items, and the manifest says {}", self.items));
        }
        let _ = self.verified.set(stamp);
        Ok(())
    }
}

struct Hashing {
    file: File,
    md5: Md5,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.md5.update(&buffer[..read]);
        Ok(read)
    }
}

fn base64(bytes: &[u8]) -> String {
    aws_smithy_types::base64::encode(bytes)
}

/// The folder of the one export that is there: `folder` itself, or below it as a bucket
/// has it.
fn find(folder: &Path) -> Result<PathBuf, Error> {
    let is_export = |folder: &Path| folder.join(SUMMARY).is_file();
    if is_export(folder) {
        return Ok(folder.to_owned());
    }
    let below = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let mut exports: Vec<PathBuf> = below(folder)
        .into_iter()
        .chain(below(&folder.join("AWSDynamoDB")))
        .filter(|path| is_export(path))
        .collect();
    exports.sort();
    match exports.len() {
        1 => Ok(exports.remove(0)),
        0 => {
            let error = Error::new(format!(
                "`{}` is a folder without an export of DynamoDB",
                folder.display()
            ))
            .cause(format!("there is no `{SUMMARY}` in it"));
            let above = folder.canonicalize().ok().and_then(|path| Some(path.parent()?.to_owned()));
            Err(match above.filter(|above| is_export(above)) {
                Some(above) => {
                    error.hint(format!("name the export's folder: `{}`", above.display()))
                }
                None => error.hint("name the folder that has it, or a file of items"),
            })
        }
        number => Err(Error::new(format!("`{}` has {number} exports", folder.display())).hint(
            format!("name one: {}", named(exports.iter().map(|path| path.display().to_string()))),
        )),
    }
}

/// A manifest that has the checksum beside it.
fn manifest(folder: &Path, name: &str) -> Result<Vec<u8>, Error> {
    let path = folder.join(name);
    let text = read(&path)?;
    let checksum = ["md5", "checksum"].map(|extension| path.with_extension(extension));
    let Some(checksum) = checksum.iter().find(|path| path.is_file()) else {
        return Err(damaged(folder)
            .cause(format!(
                "there is no checksum of `{name}`: neither `{}` nor `{}`",
                checksum[0].display(),
                checksum[1].display()
            ))
            .hint(AGAIN));
    };
    let (said, is) = (read(checksum)?, base64(&Md5::digest(&text)));
    if said.trim_ascii() != is.as_bytes() {
        return Err(damaged(folder)
            .cause(format!(
                "the MD5 of `{name}` is {is}, and `{}` says {}",
                checksum.display(),
                String::from_utf8_lossy(said.trim_ascii())
            ))
            .hint("delete both, and download them again: `aws s3 sync`"));
    }
    Ok(text)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    let file = File::open(path);
    let read = file.and_then(|file| file.take(MOST_MANIFEST_BYTES).read_to_end(&mut text));
    read.map_err(|error| {
        Error::new(format!("cannot read `{}`", path.display())).cause(error).hint(AGAIN)
    })?;
    Ok(text)
}

fn parse<T: DeserializeOwned>(path: &Path, line: usize, text: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|error| {
        Error::new(format!("`{}` is no manifest of an export", path.display()))
            .cause(format!("line {}, column {}: {error}", line + error.line() - 1, error.column()))
            .hint(CONTRADICT)
    })
}

/// Whether the export has changes.
///
/// # Errors
/// Where it has neither items nor changes that can be read here.
fn has_changes(folder: &Path, summary: &Summary) -> Result<bool, Error> {
    let folder = folder.display();
    if summary.output_format != "DYNAMODB_JSON" {
        return Err(Error::new(format!("`{folder}` is an export as {}", summary.output_format))
            .hint("export the table again as DYNAMODB_JSON, as `ddb-export prod --to` does"));
    }
    match summary.export_type.as_deref() {
        None | Some("FULL_EXPORT") => return Ok(false),
        Some("INCREMENTAL_EXPORT") => {}
        Some(other) => {
            return Err(Error::new(format!("`{folder}` is an export of the unknown type {other}")));
        }
    }
    match summary.output_view.as_deref() {
        Some("NEW_IMAGE" | "NEW_AND_OLD_IMAGES") => Ok(true),
        view => Err(Error::new(format!(
            "the changes of `{folder}` have the view {}, without the new items",
            view.unwrap_or("(none)")
        ))
        .hint("export them again with the view NEW_IMAGE")),
    }
}

fn when(summary: &Summary) -> String {
    let time = |time: &Option<String>| time.clone().unwrap_or_else(|| "an unknown time".to_owned());
    match (&summary.export_from_time, &summary.export_to_time) {
        (None, None) => format!("as of {}", time(&summary.export_time)),
        (from, to) => format!("from {} to {}", time(from), time(to)),
    }
}

/// The files that the manifest names. Nothing but the last part of a key counts: the
/// folder may have been moved, and the key has the bucket's prefix before it or not.
///
/// All incremental exports of a bucket have their files in one folder, beside those of the
/// manifests.
fn data_files(folder: &Path, has_changes: bool, entries: &[Entry]) -> Result<Vec<DataFile>, Error> {
    let own = folder.join("data");
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let beside = whole.parent().map(|parent| parent.join("data"));
    let shared = beside.filter(|beside| has_changes && !own.is_dir() && beside.is_dir());
    let is_shared = shared.is_some();
    if has_changes && !is_shared && !own.is_dir() && !entries.is_empty() {
        return Err(Error::new(format!("the data files of `{}` are not there", folder.display()))
            .cause("incremental exports have them in `data`, beside the export's folder")
            .hint("download that one too: `aws s3 sync s3://BUCKET/PREFIX/AWSDynamoDB/data`"));
    }
    let data = shared.unwrap_or(own);
    let mut names = BTreeMap::new();
    let files = entries.iter().map(|entry| {
        let name = entry.data_file_s3_key.rsplit('/').next().unwrap_or_default();
        if name.is_empty() || names.insert(name, ()).is_some() {
            return Err(damaged(folder)
                .cause(format!("`{FILES}` names the file of `{}` twice", entry.data_file_s3_key))
                .hint(CONTRADICT));
        }
        let md5 = entry.md5_checksum.clone();
        let path = data.join(name);
        Ok(DataFile { path, items: entry.item_count, md5, verified: OnceLock::new() })
    });
    let files = files.collect::<Result<_, _>>()?;
    if is_shared {
        return Ok(files);
    }
    let there = match fs::read_dir(&data) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound && entries.is_empty() => {
            return Ok(files);
        }
        Err(error) => {
            return Err(damaged(folder)
                .cause(format!("`{}`: {error}", data.display()))
                .hint(AGAIN));
        }
    };
    let extra = there.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    // Those that a file manager leaves are nobody's data.
    let mut extra: Vec<String> =
        extra.filter(|name| !names.contains_key(&**name) && !name.starts_with('.')).collect();
    if !extra.is_empty() {
        extra.sort();
        return Err(damaged(folder)
            .cause(format!(
                "{} in `{}` that `{FILES}` does not name: {}",
                count(extra.len(), "file"),
                data.display(),
                named(extra.into_iter())
            ))
            .hint("move it out of there, if it is none of the export's; else download the export again"));
    }
    Ok(files)
}

const AGAIN: &str = "download the export again: `aws s3 sync`";
const CONTRADICT: &str =
    "its checksum is right, so that downloading it again changes nothing: export the table again";

fn damaged(folder: &Path) -> Error {
    Error::new(format!("the export in `{}` is not whole; nothing is written", folder.display()))
}

/// The first ones, and how many more there are.
fn named(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(MOST_NAMED);
    let mut text =
        names.take(MOST_NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}
