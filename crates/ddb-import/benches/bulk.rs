//! How near `ddb-import` and `ddb-export` come to what the server can do: ratios
//! to a raw client that sends ready-made requests over keep-alive connections
//! and looks at nothing but what it needs to go on. `scripts/bench bulk` runs it
//! on a throw-away stack of its own.
//!
//! What bounds the times on two cores: the server, which takes 30 µs of its one
//! writer for an item and keeps one and a half cores busy. An import takes 11 to
//! 14 µs of processor time an item beside it: 5 the SDK's way of a request (130
//! µs for 25 items, its own serialisation already left out), 3 to 4 to parse and
//! check and to keep the ledger, 2 the kernel, less than one the signature; none of
//! it stands out.
//!
//! Two things count besides. Whether the server's writer has to wait for a core: an
//! import with the server on the same machine gives way (`nice`), without which it
//! comes to 0.87. And the order in which batches arrive: `SQLite` looks through all
//! of its page cache where a page is split out of order, which was a tenth of the
//! server's time when each writer had a queue of its own. With a batch for whoever
//! is idle it is 6 %, as with the raw client. A dump takes 5 µs an item, 3 of them
//! to parse, sort and write it down. The delay is added by a proxy in this process,
//! 10 ms to each request.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest as _, Md5};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const ITEMS: usize = 100_000;
const MANY: usize = 1_000_000;
/// A single pair can be a third off.
const ROUNDS: usize = 15;
/// What the tools do by default.
const CONNECTIONS: usize = 16;
const SEGMENTS: usize = 4;
const BATCH: usize = 25;
const DELAY: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

fn run() -> Outcome<()> {
    let endpoint = std::env::var("AWS_ENDPOINT_URL_DYNAMODB")
        .map_err(|_| "no server: run it with `scripts/bench bulk`")?;
    let server = endpoint.trim_start_matches("http://").to_owned();
    let folder = std::env::temp_dir().join(format!("ops-bulk-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let outcome = Bench { server, endpoint, folder: folder.clone() }.run();
    fs::remove_dir_all(&folder)?;
    outcome
}

struct Bench {
    /// `HOST:PORT`
    server: String,
    endpoint: String,
    folder: PathBuf,
}

/// A tool's run.
struct Took {
    seconds: f64,
    peak_kib: u64,
}

impl Bench {
    fn run(&self) -> Outcome<()> {
        let input = self.input(ITEMS)?;
        // `scripts/bench bulk PART` runs one of them.
        let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
        let parts: [(&str, &dyn Fn() -> Outcome<()>); 5] = [
            ("import", &|| self.import_ratio(&input)),
            ("delay", &|| self.delay_ratio(&input)),
            ("export", &|| self.export_ratio(&input)),
            ("sizes", &|| self.sizes()),
            ("s3", &|| self.s3()),
        ];
        for (name, part) in parts {
            if wanted.as_ref().is_none_or(|wanted| wanted == name) {
                part()?;
            }
        }
        Ok(())
    }

    /// A built tool.
    fn program(&self, tool: &str) -> Outcome<PathBuf> {
        let here = std::env::current_exe()?;
        Ok(here.ancestors().nth(2).ok_or("no folder")?.join(tool))
    }

    fn tool(&self, tool: &str, arguments: &[&str]) -> Outcome<Took> {
        let start = Instant::now();
        let mut child = Command::new(self.program(tool)?)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(File::create(self.folder.join("stderr"))?)
            .spawn()?;
        let status = format!("/proc/{}/status", child.id());
        let mut peak_kib = 0;
        let ended = loop {
            if let Ok(status) = fs::read_to_string(&status) {
                let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let peak = peak.and_then(|peak| peak.split_whitespace().next()?.parse().ok());
                peak_kib = peak.unwrap_or(0).max(peak_kib);
            }
            match child.try_wait()? {
                Some(ended) => break ended,
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        if !ended.success() {
            let said = fs::read_to_string(self.folder.join("stderr"))?;
            return Err(format!("{tool} {arguments:?}: {ended}\n{said}").into());
        }
        Ok(Took { seconds: start.elapsed().as_secs_f64(), peak_kib })
    }

    fn table(&self, table: &str) -> Outcome<()> {
        self.tool("ddb-schema-load", &["--table", table]).map(drop)
    }

    fn drop_table(&self, table: &str) -> Outcome<()> {
        self.tool("ddb-drop", &[table]).map(drop)
    }

    /// Messages as the app has them, 100 a conversation.
    fn input(&self, items: usize) -> Outcome<PathBuf> {
        let path = self.folder.join(format!("{items}.json"));
        let mut out = BufWriter::new(File::create(&path)?);
        for item in 0..items {
            let (group, minute) = (item / 100, item % 100);
            writeln!(
                out,
                r#"{{"Item":{{"message":{{"S":"The heron is back at the pond, number {item}."}},"message_uuid":{{"S":"00000000-0000-4000-9000-{item:012x}"}},"pk":{{"S":"MSG#{group:08x}-0000-4000-8000-000000000000"}},"sk":{{"S":"2026-01-01T{:02}:{:02}:00.000000+00:00"}},"user_display_name":{{"S":"Andrew Bayko"}},"user_handle":{{"S":"bayko"}},"user_uuid":{{"S":"9a7d5c3b-1e2f-4b68-8d47-5f3c1a2e6b22"}}}}}}"#,
                minute / 60,
                minute % 60
            )?;
        }
        out.flush()?;
        Ok(path)
    }

    /// The bodies of BatchWriteItem for the input.
    fn bodies(&self, input: &Path, table: &str) -> Outcome<Vec<Vec<u8>>> {
        let lines: Vec<String> =
            BufReader::new(File::open(input)?).lines().collect::<Result<_, _>>()?;
        let body = |lines: &[String]| {
            let puts: Vec<String> =
                lines.iter().map(|line| format!(r#"{{"PutRequest":{line}}}"#)).collect();
            let puts = puts.join(",");
            format!(r#"{{"RequestItems":{{"{table}":[{puts}]}},"ReturnConsumedCapacity":"TOTAL"}}"#)
                .into_bytes()
        };
        Ok(lines.chunks(BATCH).map(body).collect())
    }

    fn raw_import(&self, input: &Path, table: &str) -> Outcome<f64> {
        let bodies = self.bodies(input, table)?;
        let next = AtomicUsize::new(0);
        let start = Instant::now();
        thread::scope(|scope| {
            let client = || -> Outcome<()> {
                let mut connection = Connection::open(&self.server)?;
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = connection.call("BatchWriteItem", body)?;
                    if find(&answer, br#""UnprocessedItems":{}"#).is_none() {
                        return Err(String::from_utf8_lossy(&answer).into());
                    }
                }
                Ok(())
            };
            let clients: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(client)).collect();
            clients
                .into_iter()
                .try_for_each(|client| client.join().map_err(|_| "a client broke off")?)
        })?;
        Ok(start.elapsed().as_secs_f64())
    }

    fn raw_export(&self, table: &str) -> Outcome<(f64, usize)> {
        let start = Instant::now();
        let items = thread::scope(|scope| {
            let segment = |segment: usize| -> Outcome<usize> {
                let mut connection = Connection::open(&self.server)?;
                let (mut items, mut after) = (0, String::new());
                loop {
                    let body = format!(
                        r#"{{"TableName":"{table}","Limit":5000,"Segment":{segment},"TotalSegments":{SEGMENTS},"ReturnConsumedCapacity":"TOTAL"{after}}}"#
                    );
                    let answer = connection.call("Scan", body.as_bytes())?;
                    let count = find(&answer, br#""Count":"#).ok_or("no Count")? + 8;
                    let digits: String = answer[count..]
                        .iter()
                        .take_while(|b| b.is_ascii_digit())
                        .map(|b| char::from(*b))
                        .collect();
                    items += digits.parse::<usize>()?;
                    let Some(key) = find(&answer, br#""LastEvaluatedKey":"#) else {
                        return Ok(items);
                    };
                    let key = &answer[key + 19..];
                    let end = key.windows(2).position(|pair| pair == b"}}").ok_or("no end")? + 2;
                    after =
                        format!(r#","ExclusiveStartKey":{}"#, std::str::from_utf8(&key[..end])?);
                }
            };
            let segments: Vec<_> =
                (0..SEGMENTS).map(|number| scope.spawn(move || segment(number))).collect();
            segments.into_iter().try_fold(0, |sum, segment| {
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
                    sum + segment.join().map_err(|_| "a segment broke off")??,
                )
            })
        })?;
        Ok((start.elapsed().as_secs_f64(), items))
    }

    fn import(&self, input: &Path, table: &str, endpoint: &str) -> Outcome<Took> {
        let input = input.display().to_string();
        self.tool("ddb-import", &[&input, "--table", table, "--endpoint-url", endpoint])
    }

    fn import_ratio(&self, input: &Path) -> Outcome<()> {
        let mut ratios = Vec::new();
        let (mut raw_rate, mut rate) = (0.0, 0.0);
        for round in 0..ROUNDS {
            let (ours, theirs) = (format!("import-{round}"), format!("raw-{round}"));
            self.table(&ours)?;
            self.table(&theirs)?;
            // In turn, so that neither always comes first.
            let (raw, tool) = if round % 2 == 0 {
                let raw = self.raw_import(input, &theirs)?;
                (raw, self.import(input, &ours, &self.endpoint)?.seconds)
            } else {
                let tool = self.import(input, &ours, &self.endpoint)?.seconds;
                (self.raw_import(input, &theirs)?, tool)
            };
            (raw_rate, rate) = (ITEMS as f64 / raw, ITEMS as f64 / tool);
            ratios.push(raw / tool);
            self.drop_table(&ours)?;
            self.drop_table(&theirs)?;
        }
        say(&format!(
            "import, {ITEMS} items: {} of the raw client (last: {rate:.0} and {raw_rate:.0} items/s)",
            spread(ratios)
        ));
        Ok(())
    }

    fn delay_ratio(&self, input: &Path) -> Outcome<()> {
        let proxy = delaying_proxy(&self.server)?;
        let mut ratios = Vec::new();
        for round in 0..ROUNDS {
            let (near, far) = (format!("near-{round}"), format!("far-{round}"));
            self.table(&near)?;
            self.table(&far)?;
            let without = self.import(input, &near, &self.endpoint)?.seconds;
            let with = self.import(input, &far, &proxy)?.seconds;
            ratios.push(without / with);
            self.drop_table(&near)?;
            self.drop_table(&far)?;
        }
        say(&format!(
            "import with 10 ms added to each request: {} of its rate without",
            spread(ratios)
        ));
        Ok(())
    }

    fn export_ratio(&self, input: &Path) -> Outcome<()> {
        self.table("export")?;
        self.import(input, "export", &self.endpoint)?;
        let out = self.folder.join("out.json");
        let name = out.display().to_string();
        let proxy = delaying_proxy(&self.server)?;
        let (mut ratios, mut delayed) = (Vec::new(), Vec::new());
        let (mut raw_rate, mut rate) = (0.0, 0.0);
        for _ in 0..ROUNDS {
            let (raw, items) = self.raw_export("export")?;
            if items != ITEMS {
                return Err(format!("the raw client saw {items} items").into());
            }
            let arguments = ["--table", "export", "--out", &name];
            let tool = self.tool("ddb-export", &arguments)?.seconds;
            fs::remove_file(&out)?;
            let far = self
                .tool("ddb-export", &[&arguments[..], &["--endpoint-url", &proxy]].concat())?
                .seconds;
            fs::remove_file(&out)?;
            (raw_rate, rate) = (ITEMS as f64 / raw, ITEMS as f64 / tool);
            ratios.push(raw / tool);
            delayed.push(tool / far);
        }
        say(&format!(
            "export, {ITEMS} items, {SEGMENTS} segments: {} of the raw client (last: {rate:.0} and {raw_rate:.0} items/s)",
            spread(ratios)
        ));
        say(&format!(
            "export with 10 ms added to each request: {} of its rate without",
            spread(delayed)
        ));
        self.drop_table("export")
    }

    /// The same items from one file and from a downloaded export of 64 packed ones, which
    /// is verified first; and that alone, beside the standard programs for it.
    fn s3(&self) -> Outcome<()> {
        let input = self.input(MANY)?;
        let folder = self.folder.join("s3");
        let packed = write_export(&input, &folder, 64)?;
        let name = folder.display().to_string();
        let mut ratios = Vec::new();
        let (mut one, mut many) = (0, 0);
        for round in 0..3 {
            let (file, export) = (format!("file-{round}"), format!("s3-{round}"));
            self.table(&file)?;
            self.table(&export)?;
            let plain = self.import(&input, &file, &self.endpoint)?;
            let s3 = self.tool("ddb-import", &[&name, "--table", &export])?;
            (one, many) = (plain.peak_kib.max(one), s3.peak_kib.max(many));
            ratios.push(plain.seconds / s3.seconds);
            self.drop_table(&file)?;
            self.drop_table(&export)?;
        }
        say(&format!(
            "import of an export, {MANY} items in 64 packed files, verified: {} of one plain file; peak {:.1} and {:.1} MiB",
            spread(ratios),
            many as f64 / 1024.0,
            one as f64 / 1024.0
        ));
        // One count that is wrong: it is found once all is verified, and ends the run.
        let manifest = fs::read_to_string(folder.join("manifest-files.json"))?;
        let counts = format!(r#""itemCount":{}"#, MANY / 64);
        let wrong = manifest
            .replacen(&counts, &format!(r#""itemCount":{}"#, MANY / 64 - 1), 1)
            .replacen(&counts, &format!(r#""itemCount":{}"#, MANY / 64 + 1), 1);
        write_manifest(&folder, "manifest-files", &wrong)?;
        self.table("verified")?;
        let quoted = folder.join("data").display().to_string();
        let standard = format!("cd '{quoted}' && md5sum * >/dev/null && gzip -t *");
        let mut ratios = Vec::new();
        let mut rate = 0.0;
        for _ in 0..5 {
            let start = Instant::now();
            let status = Command::new("sh").args(["-c", &standard]).status()?;
            let theirs = start.elapsed().as_secs_f64();
            let start = Instant::now();
            // On one core, as those.
            let mut ours = Command::new("taskset");
            ours.args(["-c", "0"])
                .arg(self.program("ddb-import")?)
                .args([&name, "--table", "verified"]);
            let refused = ours.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
            let seconds = start.elapsed().as_secs_f64();
            if !status.success() || refused.code() != Some(1) {
                return Err("what should be refused was not, or the other way round".into());
            }
            rate = packed as f64 / seconds / 1e6;
            ratios.push(theirs / seconds);
        }
        say(&format!(
            "verification alone, on one core: {} of md5sum and gzip -t; {rate:.0} MB/s of packed data",
            spread(ratios)
        ));
        self.drop_table("verified")
    }

    /// In, out and in again, with the peak memory and the cost of an item.
    fn sizes(&self) -> Outcome<()> {
        for items in [10_000, ITEMS, MANY] {
            let input = self.input(items)?;
            self.table("in-1")?;
            self.table("in-2")?;
            self.table("raw")?;
            let raw = self.raw_import(&input, "raw")?;
            self.drop_table("raw")?;
            let import = self.import(&input, "in-1", &self.endpoint)?;
            let (raw_out, _) = self.raw_export("in-1")?;
            let out = self.folder.join("a.json");
            let export =
                self.tool("ddb-export", &["--table", "in-1", "--out", &out.display().to_string()])?;
            self.import(&out, "in-2", &self.endpoint)?;
            let again = self.folder.join("b.json");
            self.tool("ddb-export", &["--table", "in-2", "--out", &again.display().to_string()])?;
            let sums = [contents(&input)?, contents(&out)?, contents(&again)?];
            if sums.iter().any(|sum| *sum != sums[0]) {
                return Err(format!(
                    "{items} items went in, out and in again, and differ: {sums:?}"
                )
                .into());
            }
            let per_item = |seconds: f64| seconds / items as f64 * 1e6;
            say(&format!(
                "{items} items in, out and in again: equal; import {:.1} µs an item (raw {:.1}), {:.1} MiB; export {:.1} µs (raw {:.1}), {:.1} MiB",
                per_item(import.seconds),
                per_item(raw),
                import.peak_kib as f64 / 1024.0,
                per_item(export.seconds),
                per_item(raw_out),
                export.peak_kib as f64 / 1024.0,
            ));
            self.drop_table("in-1")?;
            self.drop_table("in-2")?;
            for file in [input, out, again] {
                fs::remove_file(file)?;
            }
        }
        Ok(())
    }
}

/// How many lines a file has, and a sum that is the same in any order of them.
fn contents(file: &Path) -> Outcome<(usize, u64)> {
    let mut contents = (0, 0_u64);
    for line in BufReader::new(File::open(file)?).split(b'\n') {
        let mut hasher = DefaultHasher::new();
        line?.hash(&mut hasher);
        contents = (contents.0 + 1, contents.1.wrapping_add(hasher.finish()));
    }
    Ok(contents)
}

/// An export to S3 of the lines of `input` in so many files. Returns their packed bytes.
fn write_export(input: &Path, folder: &Path, files: usize) -> Outcome<u64> {
    fs::create_dir_all(folder.join("data"))?;
    let mut lines = BufReader::new(File::open(input)?).lines();
    let (mut entries, mut packed) = (String::new(), 0);
    for number in 0..files {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let items = MANY / files + usize::from(number < MANY % files);
        for line in lines.by_ref().take(items) {
            writeln!(gzip, "{}", line?)?;
        }
        let bytes = gzip.finish()?;
        packed += bytes.len() as u64;
        let (name, md5) = (format!("{number:026}.json.gz"), base64(&bytes));
        entries += &format!(
            "{{\"itemCount\":{items},\"md5Checksum\":\"{md5}\",\"dataFileS3Key\":\"AWSDynamoDB/x/data/{name}\"}}\n"
        );
        fs::write(folder.join("data").join(name), bytes)?;
    }
    write_manifest(folder, "manifest-files", &entries)?;
    let summary = format!(
        r#"{{"tableArn":"t","exportTime":"2026-01-01T00:00:00Z","outputFormat":"DYNAMODB_JSON","exportType":"FULL_EXPORT","itemCount":{MANY}}}"#
    );
    write_manifest(folder, "manifest-summary", &summary)?;
    Ok(packed)
}

fn write_manifest(folder: &Path, name: &str, text: &str) -> Outcome<()> {
    fs::write(folder.join(format!("{name}.md5")), base64(text.as_bytes()))?;
    Ok(fs::write(folder.join(format!("{name}.json")), text)?)
}

/// The MD5.
fn base64(bytes: &[u8]) -> String {
    aws_smithy_types::base64::encode(Md5::digest(bytes))
}

fn spread(mut ratios: Vec<f64>) -> String {
    ratios.sort_by(f64::total_cmp);
    let (least, median, most) = (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
    format!("{median:.2} ({least:.2} to {most:.2})")
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// A keep-alive connection to the server.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(server: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::with_capacity(64 << 10, stream)))
    }

    fn call(&mut self, operation: &str, body: &[u8]) -> Outcome<Vec<u8>> {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: bench\r\nx-amz-target: DynamoDB_20120810.{operation}\r\ncontent-type: application/x-amz-json-1.0\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0\r\n\
             x-amz-date: 20260101T000000Z\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.0.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err("the server closed the connection".into());
            }
            let text = line.trim_end().to_ascii_lowercase();
            if text.is_empty() {
                break;
            }
            if let Some(value) = text.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer)?;
        Ok(answer)
    }
}

/// Passes everything on, what comes from the client 10 ms late. Returns its
/// endpoint.
fn delaying_proxy(server: &str) -> io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let server = server.to_owned();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(upstream) = TcpStream::connect(&server) else { return };
            let (Ok(mut answers), Ok(mut back)) = (upstream.try_clone(), client.try_clone()) else {
                return;
            };
            thread::spawn(move || {
                let _ = io::copy(&mut answers, &mut back);
            });
            let (sender, chunks) = mpsc::channel::<(Instant, Vec<u8>)>();
            thread::spawn(move || read_chunks(client, &sender));
            thread::spawn(move || write_late(upstream, &chunks));
        }
    });
    Ok(endpoint)
}

fn read_chunks(mut client: TcpStream, chunks: &mpsc::Sender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read) = client.read(&mut buffer) {
        if read == 0 || chunks.send((Instant::now(), buffer[..read].to_vec())).is_err() {
            return;
        }
    }
}

fn write_late(mut upstream: TcpStream, chunks: &mpsc::Receiver<(Instant, Vec<u8>)>) {
    let _ = upstream.set_nodelay(true);
    for (at, chunk) in chunks {
        thread::sleep((at + DELAY).saturating_duration_since(Instant::now()));
        if upstream.write_all(&chunk).is_err() {
            return;
        }
    }
    let _ = upstream.shutdown(std::net::Shutdown::Both);
}
