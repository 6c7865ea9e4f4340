//! TLS to a real Postgres, by certificates of our own: libpq's modes, and an error
//! that says what was wrong.

use cli_tests::{Run, World};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

/// Valid while anybody runs this.
const NOW: (i32, i32) = (2020, 4000);

/// An authority, and the file of its certificate.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: String,
}

impl Authority {
    fn new(world: &World, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let file = world.file(&format!("{name}.pem"), certificate.pem());
        Self { issuer: Issuer::new(params, key), file }
    }

    /// Gives the server a certificate for `host`.
    fn certify(&self, world: &World, host: &str, years: (i32, i32)) {
        let mut params = CertificateParams::new([host.to_owned()]).expect("parameters");
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        world.use_certificate(Some((&certificate.pem(), &key.serialize_pem())));
    }
}

/// One test, since a server has one certificate at a time.
#[test]
fn every_mode_with_every_certificate() {
    let world = World::postgres_alone();
    let ours = Authority::new(&world, "ours");
    let theirs = Authority::new(&world, "theirs");
    let run = |query: &str| {
        let mut command = world.prod_tool("db-sessions", &["prod"]);
        command.env("PROD_CONNECTION_URL", format!("{}{query}", world.local_url()));
        Run::of(command)
    };
    let by = |mode: &str, authority: &Authority| {
        run(&format!("?sslmode={mode}&sslrootcert={}", authority.file))
    };
    let refused = |run: Run, why: &str, hint: &str| {
        run.ends_with(1)
            .prints_only("")
            .says("error: cannot trust Postgres at `postgres@127.0.0.1:")
            .says(&format!("  cause: {why}"))
            .says(&format!("  hint: {hint}"));
    };
    let fine = |run: Run| {
        run.succeeds().does_not_say("warning");
    };
    let less = |run: Run, mode: &str| {
        run.succeeds().says(&format!(
            "warning: PROD_CONNECTION_URL asks for sslmode={mode}, less than verify-full"
        ));
    };

    ours.certify(&world, "127.0.0.1", NOW);
    fine(run(&format!("?sslrootcert={}", ours.file)));
    fine(by("verify-full", &ours));
    less(by("verify-ca", &ours), "verify-ca");
    // libpq: an authority that is named is asked.
    less(by("require", &ours), "verify-ca");
    less(run("?sslmode=require"), "require");
    less(run("?sslmode=prefer"), "prefer");
    less(run("?sslmode=disable"), "disable");
    // It is TLS where it says so.
    for (mode, tls) in [("require", "t"), ("prefer", "t"), ("disable", "f")] {
        let mut command = world.prod_tool("db-connect", &["prod", "--"]);
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        command.args(["-XAtc", sql]);
        command.env("PROD_CONNECTION_URL", format!("{}?sslmode={mode}", world.local_url()));
        if super::connect::has_psql() {
            Run::of(command).succeeds().prints_only(&format!("{tls}\n"));
        }
    }

    let unknown = "signed by an unknown CA";
    let name_it = "name the file of the authority's certificate in PROD_CONNECTION_URL with `?sslrootcert=FILE`";
    for mode in ["verify-full", "verify-ca", "require"] {
        refused(by(mode, &theirs), unknown, name_it);
    }
    // The system's authorities do not know it either.
    refused(run(""), unknown, name_it);
    refused(run("?sslmode=verify-ca"), unknown, name_it);

    ours.certify(&world, "db.example.com", NOW);
    let wrong_host = "wrong host: its certificate is for another name";
    let rename = "name the server in PROD_CONNECTION_URL as its certificate does";
    refused(by("verify-full", &ours), wrong_host, rename);
    refused(run(&format!("?sslrootcert={}", ours.file)), wrong_host, rename);
    less(by("verify-ca", &ours), "verify-ca");
    less(run("?sslmode=require"), "require");
    refused(by("verify-ca", &theirs), unknown, name_it);

    ours.certify(&world, "127.0.0.1", (2020, 2021));
    let expired = "expired: its certificate is out of date";
    refused(by("verify-full", &ours), expired, "renew the server's certificate");
    refused(by("verify-ca", &ours), expired, "renew the server's certificate");
    less(run("?sslmode=require"), "require");

    // To a machine whose clock is behind.
    ours.certify(&world, "127.0.0.1", (4000, 4001));
    refused(
        by("verify-full", &ours),
        "its certificate is not valid yet",
        "this machine's clock is off",
    );

    world.use_certificate(None);
    for mode in ["verify-full", "verify-ca", "require"] {
        by(mode, &ours)
            .ends_with(1)
            .prints_only("")
            .says("error: cannot reach Postgres at")
            .says("cause: the server does not speak TLS")
            .says("hint: look at the host and port in PROD_CONNECTION_URL");
    }
    run("").ends_with(1).says("cause: the server does not speak TLS");
    less(run("?sslmode=prefer"), "prefer");
    less(run("?sslmode=disable"), "disable");

    let missing = format!("?sslrootcert={}", world.folder().join("none.pem").display());
    run(&missing).ends_with(1).says("error: cannot read the certificates in");
    let empty = world.file("empty.pem", "nothing");
    run(&format!("?sslrootcert={empty}")).ends_with(1).says("it has none");
}
