//! Exports to S3 as somebody downloads them, in the layout that AWS documents: whole, and
//! with whatever a test changes of them. No emulator writes manifests.

use std::io::Write as _;
use std::path::Path;

use aws_smithy_types::base64;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

/// What an export consists of; written by [`S3Export::write`].
#[derive(Debug, Clone)]
pub struct S3Export {
    /// `manifest-summary.json`
    pub summary: Value,
    /// the lines of `manifest-files.json`
    pub entries: Vec<Value>,
    /// the files in `data`: the name, and the packed bytes
    pub data: Vec<(String, Vec<u8>)>,
    /// whether `data` is beside the export's folder, for all incremental ones
    beside: bool,
}

/// The folder that an export has in a bucket.
pub const EXPORT_ID: &str = "01693685827463-2d8752fd";

impl S3Export {
    /// A full export whose data files have these lines. `prefix` stands before the keys of
    /// the data files, `AWSDynamoDB/` or more.
    pub fn full(prefix: &str, files: &[impl AsRef<str>]) -> Self {
        let data: Vec<(String, Vec<u8>)> = files
            .iter()
            .enumerate()
            .map(|(number, text)| (format!("{number:026}.json.gz"), packed(text.as_ref())))
            .collect();
        let entries = files.iter().zip(&data).map(|(text, (name, packed))| {
            json!({
                "itemCount": text.as_ref().lines().count(),
                "md5Checksum": md5(packed),
                "etag": "af83d6f217c19b8b0fff8023d8ca4716-1",
                "dataFileS3Key": format!("{prefix}{EXPORT_ID}/data/{name}"),
            })
        });
        let entries: Vec<Value> = entries.collect();
        let items: u64 = entries.iter().filter_map(|entry| entry["itemCount"].as_u64()).sum();
        let table = "arn:aws:dynamodb:us-east-1:123456789012:table/cruddur-messages";
        let summary = json!({
            "version": "2020-06-30",
            "exportArn": format!("{table}/export/{EXPORT_ID}"),
            "startTime": "2026-11-04T07:28:34.028Z",
            "endTime": "2026-11-04T07:33:43.897Z",
            "tableArn": table,
            "tableId": "12345a12-abcd-123a-ab12-1234abc12345",
            "exportTime": "2026-11-04T07:28:34.028Z",
            "s3Bucket": "backups",
            "s3Prefix": null,
            "s3SseAlgorithm": "AES256",
            "s3SseKmsKeyId": null,
            "manifestFilesS3Key": format!("{prefix}{EXPORT_ID}/manifest-files.json"),
            "billedSizeBytes": 0,
            "itemCount": items,
            "outputFormat": "DYNAMODB_JSON",
            "exportType": "FULL_EXPORT",
        });
        Self { summary, entries, data, beside: false }
    }

    /// An incremental export whose data files have these lines.
    pub fn incremental(files: &[impl AsRef<str>]) -> Self {
        let mut export = Self::full("AWSDynamoDB/", files);
        let summary = export.summary.as_object_mut().expect("an object");
        summary.remove("exportTime");
        for (name, value) in [
            ("version", "2023-08-01"),
            ("exportType", "INCREMENTAL_EXPORT"),
            ("exportFromTime", "2026-11-04T07:00:00Z"),
            ("exportToTime", "2026-11-05T07:00:00Z"),
            ("outputView", "NEW_IMAGE"),
        ] {
            summary.insert(name.to_owned(), json!(value));
        }
        for entry in &mut export.entries {
            let key = entry["dataFileS3Key"]
                .as_str()
                .expect("a key")
                .replace(&format!("{EXPORT_ID}/"), "");
            entry["dataFileS3Key"] = json!(key);
        }
        export.beside = true;
        export
    }

    /// Writes it to a folder, with checksums of the manifests as they are now.
    pub fn write(&self, folder: &Path) {
        let data = match folder.parent().filter(|_| self.beside) {
            Some(parent) => parent.join("data"),
            None => folder.join("data"),
        };
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::create_dir_all(&data).expect("a folder");
        let entries: String = self.entries.iter().map(|entry| format!("{entry}\n")).collect();
        let summary = self.summary.to_string();
        for (name, text, checksum) in [
            ("manifest-summary", summary, "manifest-summary.md5"),
            ("manifest-files", entries, "manifest-files.checksum"),
        ] {
            put(&folder.join(format!("{name}.json")), text.as_bytes());
            put(&folder.join(checksum), md5(text.as_bytes()).as_bytes());
        }
        put(&folder.join("_started"), b"");
        for (name, bytes) in &self.data {
            put(&data.join(name), bytes);
        }
    }
}

fn put(file: &Path, bytes: &[u8]) {
    std::fs::write(file, bytes).expect("a file");
}

/// As gzip packs it.
pub fn packed(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).and_then(|()| gzip.finish()).expect("in memory")
}

/// The MD5 in base64.
pub fn md5(bytes: &[u8]) -> String {
    base64::encode(Md5::digest(bytes))
}
