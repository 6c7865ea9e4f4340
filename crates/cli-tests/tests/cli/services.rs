//! Services that are not there yet, or not what they should be. What each tool says of one
//! that fails it stands in `fault_table`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use cli_tests::{Run, World, wait_for};

#[test]
fn db_setup_waits_for_the_server_and_says_so() {
    let world = World::empty();
    let mut command = world.tool("db-setup", &["--wait", "1"]);
    command.env("CONNECTION_URL", "postgresql://u@127.0.0.1:1/d");
    Run::of(command)
        .ends_with(1)
        .says("waiting up to 1 s for Postgres at `u@127.0.0.1:1`")
        .says("error: cannot reach Postgres");
}

#[test]
fn db_setup_goes_on_when_the_server_comes() {
    let world = World::postgres();
    let real = world.local_url();
    let address = real
        .rsplit_once('@')
        .and_then(|(_, rest)| rest.split_once('/'))
        .expect("host")
        .0
        .to_owned();
    // A port that is free now, and led to the server once the tool waits.
    let port =
        TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address").port();
    let mut command = world.tool("db-setup", &[]);
    command.env("CONNECTION_URL", real.replace(&address, &format!("127.0.0.1:{port}")));
    let stderr_file = world.folder().join("stderr");
    command.stderr(std::fs::File::create(&stderr_file).expect("file"));
    let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("spawn");
    wait_for("the tool to wait", || {
        std::fs::read_to_string(&stderr_file).is_ok_and(|text| text.contains("waiting up to 30 s"))
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is still free");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = std::net::TcpStream::connect(&address).expect("connect");
            pipe(client.try_clone().expect("clone"), server.try_clone().expect("clone"));
            pipe(server, client);
        }
    });
    assert!(child.wait().expect("wait").success());
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["4"]);
}

fn pipe(mut from: std::net::TcpStream, mut to: std::net::TcpStream) {
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}

/// Some other web server on the port.
#[test]
fn what_answers_is_not_dynamodb() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>");
        }
    });
    let world = World::empty();
    world
        .run("ddb-list-tables", &["--endpoint-url", &url])
        .ends_with(1)
        .says(&format!("error: cannot list the tables: what answers at `{url}` is not DynamoDB"));
}

#[test]
fn a_server_without_tls_in_prod() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let port = listener.local_addr().expect("address").port();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 8]);
            // The answer of a Postgres that has no TLS.
            let _ = client.write_all(b"N");
        }
    });
    let world = World::empty();
    let mut command = world.tool("db-setup", &["prod", "--steps", "seed", "--yes"]);
    command.env("PROD_CONNECTION_URL", format!("postgresql://u:s3cret@127.0.0.1:{port}/d"));
    Run::of(command)
        .ends_with(1)
        .says("cause: the server does not speak TLS")
        .does_not_say("s3cret");
}

/// A tunnel whose far end is gone.
#[test]
fn what_accepts_and_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let port = listener.local_addr().expect("address").port();
    let world = World::empty();
    let mut command = world.tool("db-setup", &[]);
    command.env("CONNECTION_URL", format!("postgresql://u@127.0.0.1:{port}/d"));
    Run::of(command).ends_with(1).says("cause: something listens there and does not answer");
    drop(listener);
}

/// Docker's proxy, while the container starts.
#[test]
fn what_accepts_and_closes_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let port = listener.local_addr().expect("address").port();
    thread::spawn(move || listener.incoming().for_each(drop));
    let world = World::empty();
    let mut command = world.tool("db-setup", &["--wait", "1"]);
    command.env("CONNECTION_URL", format!("postgresql://u@127.0.0.1:{port}/d"));
    Run::of(command)
        .ends_with(1)
        .says("waiting up to 1 s")
        .says("cause: the connection was closed");
}
