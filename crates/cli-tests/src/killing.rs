//! A proxy that kills a tool at one of its requests: what was done up to there is done.

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::proxy::{Answer, Proxy, Request};
use crate::running::{Run, Running};

/// Kills one run after the other, each at a request of its own.
#[derive(Debug)]
pub struct Killer {
    proxy: Proxy,
    /// whom, and how many requests before that
    doomed: Arc<Mutex<Option<(Pid, usize)>>>,
}

impl Killer {
    /// Stands in front of `upstream`, and counts the requests that `counted` takes.
    pub fn start(upstream: &str, counted: fn(&Request) -> bool) -> Self {
        let doomed = Arc::new(Mutex::new(None::<(Pid, usize)>));
        let shared = Arc::clone(&doomed);
        let proxy = Proxy::start(upstream, move |_, request| {
            let mut doomed = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if counted(request) {
                *doomed = match doomed.take() {
                    Some((pid, 0)) => {
                        // It may have ended by itself.
                        let _ = kill(pid, Signal::SIGKILL);
                        None
                    }
                    left => left.map(|(pid, left)| (pid, left - 1)),
                };
            }
            Answer::Forward
        });
        Self { proxy, doomed }
    }

    /// Where the proxy listens.
    pub fn url(&self) -> String {
        self.proxy.url()
    }

    /// Runs a tool that is killed at its counted request of that number, from 0. The
    /// status is none where that came to pass.
    pub fn run(&self, command: Command, at: usize) -> Run {
        let running = Running::start(command);
        self.doom(Some((running.pid(), at)));
        let run = running.end();
        self.doom(None);
        run
    }

    fn doom(&self, doomed: Option<(Pid, usize)>) {
        *self.doomed.lock().unwrap_or_else(PoisonError::into_inner) = doomed;
    }
}
