//! `local-stack`: what it leads its command to, and what it leaves behind.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use cli_tests::{Run, World, block_on, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// Runs `script` on a stack of its own; its temporary files are in the world's
/// folder, so that what is left can be seen.
fn run(world: &World, script: &str) -> Command {
    // Postgres may run as another user, for whom this has to be like /tmp.
    let mode = std::fs::Permissions::from_mode(0o1777);
    std::fs::set_permissions(world.folder(), mode).expect("permissions");
    let mut command = world.tool("local-stack", &["run", "--", "sh", "-c", script]);
    command.env("TMPDIR", world.folder()).current_dir(cli_tests::workspace());
    command
}

fn left_behind(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.folder()).expect("folder");
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn is_alive(pid: i32) -> bool {
    // A zombie has ended.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or_else(
        |_| !std::path::Path::new("/proc/self").exists() && kill(Pid::from_raw(pid), None).is_ok(),
        |stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
    )
}

#[test]
fn a_command_gets_the_stack_and_nothing_else() {
    let world = World::empty();
    let mut command = run(&world, "env");
    for variable in [
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "PGHOST",
        "OPS_LOCAL_HOSTS",
        "DDB_MESSAGE_TABLE",
        "PROD_CONNECTION_URL",
    ] {
        command.env(variable, "leftover");
    }
    let run = Run::of(command).succeeds();
    assert!(!run.stdout.contains("leftover"), "{run}");
    let value = |name: &str| {
        let line = run.stdout.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("no {name}\n{run}")).to_owned()
    };
    assert!(value("AWS_ENDPOINT_URL_DYNAMODB").starts_with("http://127.0.0.1:"));
    assert!(value("CONNECTION_URL").starts_with("postgresql://postgres:"));
    assert!(value("CONNECTION_URL").contains("@127.0.0.1:"));
    assert!(value("CONNECTION_URL").ends_with("/cruddur"));
    assert_eq!(value("AWS_REGION"), "us-east-1");
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        assert!(value(name).chars().all(char::is_alphanumeric));
    }
    if cli_tests::python().is_some() {
        let cognito = value("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER");
        assert!(cognito.starts_with("http://127.0.0.1:"));
        assert_eq!(value("AWS_ENDPOINT_URL_STS"), cognito);
        assert!(value("AWS_COGNITO_USER_POOL_ID").starts_with("us-east-1_"));
    }
    assert_eq!(left_behind(&world), Vec::<String>::new());
}

#[test]
fn the_main_job_runs_on_it() {
    let world = World::empty();
    let folder = cli_tests::binary("ddb-seed").parent().expect("folder").display().to_string();
    let script = format!(
        "PATH={folder}:$PATH; db-setup && ddb-schema-load && ddb-seed && ddb-get-conversation --limit 1"
    );
    Run::of(run(&world, &script)).succeeds().prints("seeded 104 messages").prints("the heron");
}

#[test]
fn its_pool_has_the_seeded_people_and_one_without_a_handle() {
    let Some(_) = cli_tests::python() else { return };
    let world = World::empty();
    let folder = cli_tests::binary("ddb-seed").parent().expect("folder").display().to_string();
    let script = format!(
        "PATH={folder}:$PATH; db-setup && update-cognito-user-ids --check && cognito-list-users --output jsonl"
    );
    let run = Run::of(run(&world, &script)).succeeds();
    run.clone().prints("4 ids updated, 0 unchanged").says("5 users, 1 of them without");
    for handle in ["jess-bk", "bayko", "maren", "tariq"] {
        assert!(run.stdout.contains(&format!("\"handle\":\"{handle}\"")), "{run}");
    }
    assert!(run.stdout.contains("\"handle\":null"), "{run}");
    assert_eq!(left_behind(&world), Vec::<String>::new());
}

/// Everything else works, and the missing part is said in one line.
#[test]
fn without_python_it_goes_on_without_cognito() {
    let world = World::empty();
    drop(World::postgres());
    checkout(&world, &["npm"]);
    // What is on the PATH, but for Python.
    let bin = world.folder().join("bin");
    std::fs::create_dir(&bin).expect("folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    for program in ["sh", "env", "cat", "mv", "rm", "sleep", "initdb", "postgres"] {
        let found = std::env::split_paths(&path).map(|folder| folder.join(program));
        if let Some(found) = found.into_iter().find(|file| file.is_file()) {
            std::os::unix::fs::symlink(found, bin.join(program)).expect("link");
        }
    }
    let mut command = world.tool("local-stack", &["run", "--", "sh", "-c", "env"]);
    command.env("PATH", bin);
    let run =
        Run::of(command).succeeds().prints("CONNECTION_URL=").prints("AWS_ENDPOINT_URL_DYNAMODB=");
    assert!(!run.stdout.contains("COGNITO"), "{run}");
    assert_eq!(run.stderr, "without Cognito: there is no `python3`\n");
}

#[test]
fn the_commands_status_is_passed_on() {
    let world = World::empty();
    assert_eq!(Run::of(run(&world, "exit 7")).status, Some(7));
    assert_eq!(Run::of(run(&world, "kill -TERM $$")).status, Some(128 + 15));
    world.run("local-stack", &["run"]).ends_with(2);
    let mut command = world.tool("local-stack", &["run", "--", "no-such-command"]);
    command.current_dir(cli_tests::workspace());
    Run::of(command).ends_with(1).says("error: cannot run `no-such-command`");
}

/// Says where the server is, starts a process and waits.
const WAIT: &str = "echo $CONNECTION_URL; sleep 600 & echo $! $$ > \"$TMPDIR/pids\"; wait";

/// Starts a stack on which `script` says where the server is and then waits: the
/// server's process and its URL.
fn start_and_wait(world: &World, script: &str) -> (Child, i32, String) {
    let mut command = run(world, script);
    // A group of its own, as a terminal gives it.
    let mut child = command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("spawn");
    let mut url = String::new();
    let stdout = child.stdout.take().expect("stdout");
    BufReader::new(stdout).read_line(&mut url).expect("a line");
    wait_for("the command's child", || pids(world).is_some());
    (child, server(world), url.trim().to_owned())
}

/// The folder of the cluster, once it is there.
fn cluster(world: &World) -> Option<PathBuf> {
    let name =
        left_behind(world).into_iter().find(|name| name.starts_with("cruddur-ops-postgres-"));
    name.map(|name| world.folder().join(name))
}

/// The process of the server.
fn server(world: &World) -> i32 {
    let folder = cluster(world).expect("a cluster");
    let server = first_line(&folder.join("data/postmaster.pid"));
    assert!(is_alive(server));
    server
}

fn first_line(pid_file: &Path) -> i32 {
    let text = std::fs::read_to_string(pid_file).expect("pid file");
    text.lines().next().and_then(|line| line.parse().ok()).expect("pid")
}

fn gone(world: &World, server: i32) {
    wait_for("the end of the server", || !is_alive(server));
    wait_for("the end of its folder", || left_behind(world) == ["pids"]);
}

/// The processes of the command's child and of the command.
fn pids(world: &World) -> Option<(i32, i32)> {
    let text = std::fs::read_to_string(world.folder().join("pids")).ok()?;
    // The shell makes the file before it writes the numbers.
    let (child, command) = text.strip_suffix('\n')?.split_once(' ')?;
    Some((child.parse().ok()?, command.parse().ok()?))
}

fn command_ended(world: &World) {
    let (child, command) = pids(world).expect("pids");
    wait_for("the end of the command", || !is_alive(command));
    wait_for("the end of its child", || !is_alive(child));
}

/// A shell's background process does not hear an interrupt.
fn kill_commands_child(world: &World) {
    let (child, _) = pids(world).expect("pids");
    let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
}

/// To local-stack alone.
fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).expect("pid")), signal).expect("a signal");
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let world = World::empty();
    let (mut child, server, _) = start_and_wait(&world, WAIT);
    let group = Pid::from_raw(-i32::try_from(child.id()).expect("pid"));
    kill(group, Signal::SIGINT).expect("interrupt");
    let status = child.wait().expect("wait");
    assert_eq!(status.code(), Some(130));
    gone(&world, server);
    kill_commands_child(&world);
}

/// `kill -INT` of this process alone, as a supervisor does it.
#[test]
fn an_interrupt_without_a_terminal_is_passed_on() {
    let world = World::empty();
    let (mut child, server, _) = start_and_wait(&world, WAIT);
    send(&child, Signal::SIGINT);
    assert_eq!(child.wait().expect("wait").code(), Some(130));
    gone(&world, server);
    kill_commands_child(&world);
}

#[test]
fn termination_ends_the_command_and_leaves_nothing_behind() {
    let world = World::empty();
    let (mut child, server, _) = start_and_wait(&world, WAIT);
    send(&child, Signal::SIGTERM);
    assert_eq!(child.wait().expect("wait").code(), Some(128 + 15));
    command_ended(&world);
    gone(&world, server);
}

#[test]
fn a_kill_ends_the_command_and_leaves_nothing_behind() {
    // This one and its child take no request to end.
    let stubborn = format!("trap '' TERM; {WAIT}");
    for script in [WAIT, stubborn.as_str()] {
        let world = World::empty();
        let (mut child, server, _) = start_and_wait(&world, script);
        child.kill().expect("kill");
        let _ = child.wait();
        command_ended(&world);
        gone(&world, server);
    }
}

/// There the command is in local-stack's own group, which the terminal's hangup
/// would end, if it could.
#[test]
fn a_kill_at_a_terminal_ends_the_command_too() {
    let world = World::empty();
    let mut session = super::terminal::at_terminal(run(&world, &format!("trap '' HUP; {WAIT}")));
    wait_for("the command's child", || pids(&world).is_some());
    let server = server(&world);
    session.process_mut().signal(Signal::SIGKILL).expect("kill");
    command_ended(&world);
    gone(&world, server);
}

#[test]
fn ctrl_c_at_a_terminal_reaches_the_command() {
    let world = World::empty();
    let script = format!("trap 'echo caught; exit 7' INT; {WAIT}");
    let mut session = super::terminal::at_terminal(run(&world, &script));
    wait_for("the command's child", || pids(&world).is_some());
    let server = server(&world);
    session.send_control('c').expect("interrupt");
    session.exp_string("caught").expect("the command's word");
    // Else the terminal stays open.
    kill_commands_child(&world);
    session.exp_eof().expect("the end");
    let status = session.process().wait().expect("a status");
    assert!(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 7)), "{status:?}");
    gone(&world, server);
}

#[test]
fn a_kill_while_it_starts_leaves_no_half_cluster() {
    // Downloads Postgres, where none is installed.
    drop(World::postgres());
    let world = World::empty();
    for moment in ["data.new", "data"] {
        let mut command = run(&world, "sleep 600");
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("spawn");
        wait_for(moment, || cluster(&world).is_some_and(|folder| folder.join(moment).exists()));
        child.kill().expect("kill");
        let _ = child.wait();
        // Its guard removes it when the program that was running has ended.
        wait_for("the end of its folder", || cluster(&world).is_none());
    }
    // What was killed before it had a guard is swept now.
    Run::of(run(&world, "true")).succeeds();
    wait_for("the end of all folders", || left_behind(&world).is_empty());
}

#[test]
fn what_nobody_removed_is_swept_at_the_next_start() {
    let world = World::empty();
    let folder = |name: &str| {
        let folder = world.folder().join(format!("cruddur-ops-postgres-{name}"));
        std::fs::create_dir_all(folder.join("data")).expect("folder");
        folder
    };
    let with_log = |name: &str| File::create(folder(name).join("server.log")).expect("log");
    let made_an_hour_ago = |folder: &Path| {
        let then = SystemTime::now() - Duration::from_secs(3600);
        File::open(folder).and_then(|folder| folder.set_modified(then)).expect("time");
    };
    drop(with_log("left"));
    let in_use = with_log("in-use");
    in_use.lock().expect("lock");
    folder("young");
    made_an_hour_ago(&folder("old"));
    let serving = folder("serving");
    std::fs::write(serving.join("data/postmaster.pid"), format!("{}\n", std::process::id()))
        .expect("pid file");
    made_an_hour_ago(&serving);

    Run::of(run(&world, "true")).succeeds();
    let mut left = left_behind(&world);
    left.sort_unstable();
    let kept = ["in-use", "serving", "young"].map(|name| format!("cruddur-ops-postgres-{name}"));
    assert_eq!(left, kept);
}

/// The first column, or the error's code.
fn query(url: &str, statement: &str) -> Result<Vec<String>, String> {
    let code = |error: tokio_postgres::Error| {
        error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned())
    };
    block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(code)?;
        let connection = tokio::spawn(connection);
        let messages = client.simple_query(statement).await;
        drop(client);
        let _ = connection.await;
        let first_column = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        let messages = messages.map_err(code)?;
        Ok::<Vec<String>, String>(messages.iter().filter_map(first_column).collect())
    })
}

const INVALID_PASSWORD: &str = "28P01";
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// A superuser runs programs: as `nobody`, who owns the cluster, where this user is
/// root.
fn is_no_superuser(url: &str) {
    let superusers = "SELECT rolname FROM pg_roles WHERE rolsuper";
    assert_eq!(query(url, superusers), Ok(vec!["local_stack".to_owned()]));
    assert_eq!(query(url, "SELECT current_user"), Ok(vec!["postgres".to_owned()]));
    for statement in [
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('postgresql.conf')",
        "ALTER ROLE postgres SUPERUSER",
        "SET ROLE local_stack",
    ] {
        let refused = Err(INSUFFICIENT_PRIVILEGE.to_owned());
        assert_eq!(query(url, statement), refused, "{statement}");
    }
}

#[test]
fn the_tools_role_is_no_superuser_and_its_password_is_new() {
    let world = World::empty();
    let (mut child, server, url) = start_and_wait(&world, WAIT);
    let url = url.replace("/cruddur", "/postgres");
    is_no_superuser(&url);
    let (role_and_password, rest) =
        url.strip_prefix("postgresql://").and_then(|url| url.rsplit_once('@')).expect("a URL");
    let (_, password) = role_and_password.split_once(':').expect("a password");
    for login in [
        "postgres:password".to_owned(),
        "local_stack:password".to_owned(),
        format!("local_stack:{password}"),
    ] {
        let refused = Err(INVALID_PASSWORD.to_owned());
        assert_eq!(query(&format!("postgresql://{login}@{rest}"), "SELECT 1"), refused, "{login}");
    }
    send(&child, Signal::SIGTERM);
    let _ = child.wait();
    gone(&world, server);
}

/// Any page that is open in a browser can send requests to this machine.
#[test]
fn web_pages_of_other_machines_get_nothing_from_cognito() {
    let Some(world) = World::empty().with_pool(&[]) else { return };
    let url = world.cognito().url();
    let address = url.strip_prefix("http://").expect("a URL");
    let status = |origin: &str| {
        let body = r#"{"MaxResults":10}"#;
        let request = format!(
            "POST / HTTP/1.0\r\nhost: {address}\r\n{origin}\
             x-amz-target: AWSCognitoIdentityProviderService.ListUserPools\r\n\
             content-type: application/x-amz-json-1.1\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut connection = TcpStream::connect(address).expect("connect");
        connection.write_all(request.as_bytes()).expect("send");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).map(str::to_owned);
        status.unwrap_or(answer)
    };
    for origin in [
        "",
        "origin: http://localhost:3000\r\n",
        "origin: http://127.0.0.1:9229\r\n",
        "origin: http://[::1]:3000\r\n",
    ] {
        assert_eq!(status(origin), "200", "{origin}");
    }
    for origin in [
        "origin: https://example.com\r\n",
        "origin: http://localhost.example.com\r\n",
        "origin: http://localhost@example.com\r\n",
        "origin: null\r\n",
    ] {
        assert_eq!(status(origin), "403", "{origin}");
    }
}

/// A checkout of its own in the world's folder, with downloads of this one.
fn checkout(world: &World, downloads: &[&str]) {
    let state = world.folder().join(".local-stack");
    std::fs::create_dir(&state).expect("folder");
    let ours = local_stack::state_folder().expect("folder");
    for download in downloads {
        std::os::unix::fs::symlink(ours.join(download), state.join(download)).expect("link");
    }
    std::fs::write(world.folder().join("Cargo.lock"), "").expect("a checkout");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.folder(), mode).expect("permissions");
}

/// One test, since `up` takes fixed ports.
#[test]
fn up_keeps_its_data_and_ends_clean() {
    let world = World::empty();
    // Downloads Postgres, where none is installed.
    drop(World::postgres());
    let has_cognito = cli_tests::python().is_some();
    let python = local_stack::python_environment().expect("folder");
    checkout(&world, &["npm", python.file_name().and_then(|name| name.to_str()).expect("a name")]);
    if [8000, 5432, 9229].iter().any(|port| TcpListener::bind(("127.0.0.1", *port)).is_err()) {
        return cli_tests::cannot_run("`local-stack up`: port 8000, 5432 or 9229 is taken");
    }
    let up = || {
        let log = world.folder().join("log");
        let mut command = world.tool("local-stack", &["up"]);
        let child =
            command.stderr(std::fs::File::create(&log).expect("log")).spawn().expect("spawn");
        wait_for("the stack", || {
            std::fs::read_to_string(&log).is_ok_and(|log| log.contains("Ctrl-C stops it"))
        });
        child
    };
    let stop = |mut child: std::process::Child| {
        send(&child, Signal::SIGINT);
        assert_eq!(child.wait().expect("wait").code(), Some(0));
        assert!(!pid_file(&world).exists());
    };
    // What needs no setting at all.
    let child = up();
    world.run("db-setup", &[]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    world.run("ddb-seed", &[]).succeeds();
    let users = has_cognito.then(|| users_of_up(&world));
    is_no_superuser("postgresql://postgres:password@127.0.0.1:5432/postgres");
    let superuser = "postgresql://local_stack:password@127.0.0.1:5432/postgres";
    assert_eq!(query(superuser, "SELECT 1"), Err(INVALID_PASSWORD.to_owned()));
    only_its_owner_reads(&world, has_cognito);
    world
        .run("local-stack", &["up"])
        .ends_with(1)
        .says("error: a `local-stack up` is running in this checkout already");
    stop(child);
    world.run("ddb-list-tables", &[]).ends_with(1).says("connection refused");

    // The data are there the next time; a `postmaster.pid` that a killed run
    // left is cleared, whoever has its process id now.
    std::fs::write(pid_file(&world), format!("{}\n", std::process::id())).expect("a leftover");
    let child = up();
    world.run("ddb-get-conversation", &["--limit", "1"]).succeeds().prints("the heron");
    world.run("ddb-list-conversations", &[]).succeeds().prints("bayko");
    // Cognito's users are new, and the same: what was carried over stays good.
    assert_eq!(has_cognito.then(|| users_of_up(&world)), users);
    let log = std::fs::read_to_string(world.folder().join("log")).expect("log");
    assert!(log.contains("clearing the `postmaster.pid` that a killed run left"), "{log}");

    // Killed outright: the server ends, and the next run starts.
    let server = first_line(&pid_file(&world));
    let mut child = child;
    child.kill().expect("kill");
    let _ = child.wait();
    wait_for("the end of the server", || !is_alive(server));
    stop(up());

    // Postgres ends by itself: no half stack stays.
    let mut child = up();
    let server = first_line(&pid_file(&world));
    kill(Pid::from_raw(server), Signal::SIGINT).expect("stop the server");
    assert_eq!(child.wait().expect("wait").code(), Some(1));
    let log = std::fs::read_to_string(world.folder().join("log")).expect("log");
    assert!(log.contains("error: Postgres has ended by itself"), "{log}");

    // A port that is taken: named, and nothing is started.
    for port in [8000_u16, 5432] {
        let _mine = TcpListener::bind(("127.0.0.1", port)).expect("the port");
        world
            .run("local-stack", &["up"])
            .ends_with(1)
            .says(&format!("error: cannot listen on 127.0.0.1:{port}"))
            .says(&format!("ss -ltnp 'sport = :{port}'"));
        assert!(!pid_file(&world).exists());
        for port in [8000_u16, 5432].into_iter().filter(|other| *other != port) {
            drop(TcpListener::bind(("127.0.0.1", port)).expect("nothing was started"));
        }
    }

    // Node's debugger has the same port as Cognito: no reason for no stack.
    let _mine = TcpListener::bind(("127.0.0.1", 9229)).expect("the port");
    let child = up();
    world.run("ddb-get-conversation", &["--limit", "1"]).succeeds();
    let log = std::fs::read_to_string(world.folder().join("log")).expect("log");
    assert!(log.contains("without Cognito: cannot listen on 127.0.0.1:9229"), "{log}");
    stop(child);

    // What earlier versions made: its `postgres` is a superuser.
    let cluster = world.folder().join(".local-stack/postgres");
    std::fs::rename(cluster.join("data"), world.folder().join("earlier")).expect("rename");
    std::fs::remove_dir(&cluster).expect("an empty folder");
    std::fs::rename(world.folder().join("earlier"), &cluster).expect("rename");
    world
        .run("local-stack", &["up"])
        .ends_with(1)
        .says("error: an earlier version of `local-stack` made `")
        .says(".local-stack/postgres`, and set the database up again");
    assert!(cluster.join("PG_VERSION").exists());
}

/// On ports that `env` tells the tools.
#[test]
fn up_takes_other_ports_and_env_leads_there() {
    let world = World::empty();
    drop(World::postgres());
    let has_cognito = cli_tests::python().is_some();
    let python = local_stack::python_environment().expect("folder");
    checkout(&world, &["npm", python.file_name().and_then(|name| name.to_str()).expect("a name")]);
    // Below those that the system gives to whoever asks for any: no other test has them.
    let start = usize::try_from(std::process::id()).expect("a number") % 12_000;
    let mut ports = (20_000..32_000_u16).cycle().skip(start);
    let mut free = || {
        let port = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        port.expect("a free port").to_string()
    };
    let [dynamodb, postgres, cognito] = [free(), free(), free()];
    let up = [
        "up",
        "--port-dynamodb",
        &dynamodb,
        "--port-postgres",
        &postgres,
        "--port-cognito",
        &cognito,
    ];
    let log = world.folder().join("log");
    let mut command = world.tool("local-stack", &up);
    let mut child =
        command.stderr(std::fs::File::create(&log).expect("log")).spawn().expect("spawn");
    wait_for("the stack", || {
        assert!(child.try_wait().expect("wait").is_none(), "{:?}", std::fs::read_to_string(&log));
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("Ctrl-C stops it"))
    });
    let env = world.run("local-stack", &["env"]).succeeds();
    let env = env
        .prints(&format!("export AWS_ENDPOINT_URL_DYNAMODB=http://localhost:{dynamodb}\n"))
        .prints(&format!(
            "export CONNECTION_URL=postgresql://postgres:password@localhost:{postgres}/cruddur\n"
        ));
    if has_cognito {
        let endpoint = "export AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER=http://127.0.0.1:";
        env.clone().prints(&format!("{endpoint}{cognito}\n"));
    }
    let script = "eval \"$(local-stack env)\" && db-setup && ddb-schema-load && ddb-seed && ddb-list-conversations --handle bayko";
    let mut command = world.command("sh");
    let tools = cli_tests::binary("ddb-seed");
    let path = format!("{}:/usr/bin:/bin", tools.parent().expect("a folder").display());
    Run::of({
        command.args(["-c", script]).env("PATH", path);
        command
    })
    .succeeds()
    .prints("jess-bk");
    send(&child, Signal::SIGINT);
    assert_eq!(child.wait().expect("wait").code(), Some(0));

    let held = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let taken = held.local_addr().expect("an address").port().to_string();
    world
        .run("local-stack", &["up", "--port-dynamodb", &dynamodb, "--port-postgres", &taken])
        .ends_with(1)
        .says(&format!("error: cannot listen on 127.0.0.1:{taken}\n"))
        .says("hint: or take another port: `local-stack up --port-postgres PORT`\n");
    world
        .run("local-stack", &["up", "--port-postgres", "0"])
        .ends_with(2)
        .says("0 is not in 1..=65535");
}

fn only_its_owner_reads(world: &World, has_cognito: bool) {
    let state = world.folder().join(".local-stack");
    let mode = |path: &Path| {
        let found = std::fs::metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        found.permissions().mode() & 0o777
    };
    // Where this user is root the server is `nobody`, who has to get through.
    assert_eq!(mode(&state), if Uid::effective().is_root() { 0o711 } else { 0o700 });
    assert_eq!(mode(&state.join("postgres")), 0o700);
    let logs = ["lock", "dynamodb.sqlite", "postgres.log"].into_iter();
    for file in logs.chain(has_cognito.then_some("cognito.log")) {
        assert_eq!(mode(&state.join(file)), 0o600, "{file}");
    }
}

/// What `up` says to export, used as it says: the users of its pool.
fn users_of_up(world: &World) -> String {
    let log = std::fs::read_to_string(world.folder().join("log")).expect("log");
    let mut command = world.tool("cognito-list-users", &["--output", "map"]);
    let exports = log.lines().filter_map(|line| line.trim().strip_prefix("export "));
    command.envs(exports.filter_map(|export| export.split_once('=')));
    Run::of(command).ends_with(3).prints("\"bayko\": ").stdout
}

fn pid_file(world: &World) -> PathBuf {
    world.folder().join(".local-stack/postgres/data/postmaster.pid")
}
