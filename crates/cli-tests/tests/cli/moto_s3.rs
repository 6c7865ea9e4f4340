//! The calls of DynamoDB's own export and import in their order, against moto, which checks
//! them as AWS does, and has an S3. It writes no manifests: `s3_export` has those.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use cli_tests::{Run, World, wait_for, workspace};

use crate::bulk::{lines, sorted};

/// moto with DynamoDB and S3. Dropping it ends it.
struct Moto {
    server: Child,
    port: u16,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn python() -> Option<PathBuf> {
    let python = workspace().join(".local-stack/moto-s3/bin/python");
    if python.is_file() {
        return Some(python);
    }
    cli_tests::cannot_run("no moto with S3: `scripts/test` installs it");
    None
}

impl Moto {
    fn start() -> Option<Self> {
        let python = python()?;
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("a port");
        let port = free.port();
        let mut command = Command::new(python);
        command.args(["-I", "-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("spawn");
        let moto = Self { server, port };
        wait_for("moto", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(moto)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs a tool in `prod`.
    fn tool(&self, world: &World, tool: &str, arguments: &[&str]) -> Run {
        let mut command = world.prod_command(tool, arguments);
        command.args(["--endpoint-url", &self.url()]);
        Run::of(command)
    }

    /// Runs Python with clients of both services, and returns what it prints.
    fn boto3(&self, script: &str) -> String {
        let clients = format!(
            "import boto3\nmore = dict(endpoint_url='{}', region_name='ca-central-1', aws_access_key_id='a', aws_secret_access_key='b')\n\
             s3, dynamodb = boto3.client('s3', **more), boto3.client('dynamodb', **more)\n{script}",
            self.url()
        );
        let mut command = Command::new(python().expect("it was there"));
        command.args(["-I", "-c", &clients]);
        Run::of(command).succeeds().stdout
    }
}

#[test]
fn a_table_goes_to_s3_and_comes_back() {
    let Some(moto) = Moto::start() else { return };
    let world = World::empty();
    let items = world.file("items.json", lines(60));
    let confirm = ["--confirm", "cruddur-messages"];
    moto.tool(&world, "ddb-schema-load", &["prod", "--yes"]).succeeds();
    moto.tool(
        &world,
        "ddb-import",
        &[&[items.as_str(), "prod", "--max-wcu", "1000"][..], &confirm].concat(),
    )
    .succeeds();
    moto.boto3("s3.create_bucket(Bucket='backups', CreateBucketConfiguration={'LocationConstraint': 'ca-central-1'})");

    let export = ["prod", "--to", "s3://backups/2026", "--yes"];
    moto.tool(&world, "ddb-export", &export)
        .ends_with(1)
        .says("error: point-in-time recovery of the table `cruddur-messages` is off\n");
    moto.boto3("dynamodb.update_continuous_backups(TableName='cruddur-messages', PointInTimeRecoverySpecification={'PointInTimeRecoveryEnabled': True})");
    let exported = moto.tool(&world, "ddb-export", &export).succeeds().says("exported 60 items");
    assert!(exported.stdout.starts_with("arn:aws:dynamodb:ca-central-1:"), "{exported}");
    moto.tool(&world, "ddb-export", &["prod", "--to", "s3://nobody/2026", "--yes"])
        .ends_with(1)
        .says("error: the export to s3://nobody/2026 failed: S3NoSuchBucket\n  cause: The specified bucket does not exist\n");

    let key = moto.boto3("print(s3.list_objects_v2(Bucket='backups')['Contents'][0]['Key'])");
    let (folder, _) = key.split_once("/data/").expect("the folder of an export");
    let schema = workspace().join("seed-data/tables/cruddur-messages.json");
    let from = format!("s3://backups/{folder}");
    let import = |table: &str| {
        let schema = schema.to_str().expect("text");
        moto.tool(
            &world,
            "ddb-import",
            &["prod", "--from", &from, "--schema", schema, "--table", table, "--yes"],
        )
    };
    import("copy").succeeds().says("60 items read: 60 written, 0 rejected; ");
    let copy = moto
        .tool(&world, "ddb-export", &["prod", "--table", "copy", "--max-rcu", "1000"])
        .succeeds();
    assert_eq!(sorted(&copy.stdout), sorted(&lines(60)));
    import("copy").ends_with(1).says("error: there is a table `copy` already\n");
}
