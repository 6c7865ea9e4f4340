//! What the steps would do, without doing it.

use ops_common::error::Error;

use crate::stamp::State;
use crate::steps::{Did, hash, number, sessions};
use crate::{Step, StepReport, Work};

/// What each step would do, in the order in which they run: each stands on the one before.
pub(crate) async fn steps(steps: &[Step], work: &Work<'_>) -> Result<Vec<StepReport>, Error> {
    let mut state = work.inspection.state.clone();
    let mut reports = Vec::new();
    for step in steps {
        let did = match step {
            Step::Drop => {
                let did = drop(work, &state).await?;
                state = State::Absent;
                did
            }
            Step::Create => create(work, &mut state),
            Step::SchemaLoad => schema_load(work, &state),
            Step::Seed => {
                let words = format!("would run {} in one transaction", work.files.seed.name);
                Did::planned(words, true)
            }
            Step::CognitoIds => cognito_ids(work),
        };
        reports.push(StepReport { step: *step, did, seconds: None });
    }
    Ok(reports)
}

async fn drop(work: &Work<'_>, state: &State) -> Result<Did, Error> {
    let name = work.url.database();
    if *state == State::Absent {
        return Ok(Did::planned(format!("`{name}` is not there; nothing to drop"), false));
    }
    let own: Vec<i32> = work.inspection.session.into_iter().collect();
    let (_, open) = sessions(&work.server, name, &own).await?;
    let words =
        format!("would drop `{name}` ({}) and close {}", state.in_words(), number(open, "session"));
    Ok(Did::planned(words, true))
}

fn create(work: &Work<'_>, state: &mut State) -> Did {
    let name = work.url.database();
    if *state != State::Absent {
        return Did::planned(format!("`{name}` already exists"), false);
    }
    *state = State::Empty;
    Did::planned(format!("would create `{name}`, stamped `{}`", work.url.target()), true)
}

fn schema_load(work: &Work<'_>, state: &State) -> Did {
    let file = &work.files.schema;
    match state {
        State::Stamped(stamp) if stamp.schema_sha256.as_ref() == Some(&hash(&file.text)) => {
            Did::planned("already there, same schema; nothing would change".to_owned(), false)
        }
        _ => Did::planned(format!("would load {}", file.name), true),
    }
}

fn cognito_ids(work: &Work<'_>) -> Did {
    match work.pool {
        None => Did::without_pool(),
        Some(pool) => {
            let words = format!("would copy the ids of the users of `{}`", pool.id());
            Did::planned(words, true)
        }
    }
}
