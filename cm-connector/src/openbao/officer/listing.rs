//! Lists. OpenBao's own are in the order of their paths and cannot be searched, so one is read whole, put in the
//! contract's order, and handed out page by page: a page never misses what moved meanwhile.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    super::{OpenBaoCertificateManager, client::Call as Question, failure::Failure},
    Answer, ok,
    problem::Problem,
    query::Query,
};

/// Most records of a kind that are read for one list.
pub(super) const ENTRIES_MAX: usize = 20_000;
/// How many are read at a time.
const AT_ONCE: usize = 16;
/// Most lists that are kept for their next pages, as several pages of a console ask for.
const KEPT_MAX: usize = 8;

/// Lists of which more was promised.
#[derive(Debug, Default)]
pub(super) struct Listings(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    next: u64,
    /// By the cursor that was handed out.
    rests: VecDeque<(String, Vec<Value>)>,
}

impl Listings {
    /// The first page, or the next one if there is a cursor.
    pub(super) async fn page(
        &self,
        query: Query<'_>,
        read: impl Future<Output = Result<Vec<Value>, Problem>> + Send,
    ) -> Result<Answer, Problem> {
        let mut items = match query.text("cursor") {
            Some(cursor) => self.rest(cursor)?,
            None => read.await?,
        };
        let rest = items.split_off(items.len().min(query.limit()?));
        let next = (!rest.is_empty()).then(|| self.keep(rest));
        Ok(ok(&json!({"items": items, "next": next})))
    }

    fn rest(&self, cursor: &str) -> Result<Vec<Value>, Problem> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // It stays: an answer may be asked for again.
        let found = kept.rests.iter().find(|(own, _)| own == cursor).map(|(_, rest)| rest.clone());
        found.ok_or_else(|| Problem::new(410, "cursor-expired", "this list is no longer known; begin again"))
    }

    fn keep(&self, rest: Vec<Value>) -> String {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.next = kept.next.wrapping_add(1);
        let cursor = kept.next.to_string();
        while kept.rests.len() >= KEPT_MAX {
            let _oldest = kept.rests.pop_front();
        }
        kept.rests.push_back((cursor.clone(), rest));
        cursor
    }
}

/// The names below a path; none if there is no such path.
pub(super) async fn names(bao: &OpenBaoCertificateManager, path: String) -> Result<Vec<String>, Problem> {
    let Some(answer) = bao.client.find(&Question::read("LIST cm/metadata/{kind}", path)).await? else {
        return Ok(Vec::new());
    };
    let keys = answer.pointer("/data/keys").and_then(Value::as_array);
    let keys = keys.ok_or_else(|| Failure::Broken(String::from("a list without keys")))?;
    if keys.len() > ENTRIES_MAX {
        let detail = format!("there are more than {ENTRIES_MAX}, which is more than is read for a list");
        return Err(Problem::new(422, "list-too-long", detail));
    }
    Ok(keys.iter().filter_map(Value::as_str).map(|name| name.trim_end_matches('/').to_owned()).collect())
}

/// What comes of all of them, in no order.
pub(super) async fn each<T, F>(jobs: impl Iterator<Item = F>) -> Result<Vec<T>, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let ended = |one: Option<Result<Result<T, Failure>, _>>| match one {
        Some(Ok(done)) => done.map_err(Problem::from),
        Some(Err(_)) | None => Err(Problem::new(500, "internal", "a question was not carried out")),
    };
    let (mut running, mut done) = (JoinSet::new(), Vec::new());
    for job in jobs {
        if running.len() >= AT_ONCE {
            done.push(ended(running.join_next().await)?);
        }
        let _handle = running.spawn(job);
    }
    while !running.is_empty() {
        done.push(ended(running.join_next().await)?);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn page(listings: &Listings, parameters: &[(&str, String)]) -> Result<Value, Problem> {
        let all = async { Ok((0..5).map(Value::from).collect()) };
        let answer = listings.page(Query::of(parameters), all).await?;
        Ok(serde_json::from_str(&answer.body).unwrap())
    }

    #[tokio::test]
    async fn a_list_is_handed_out_page_by_page_and_a_page_can_be_asked_for_again() {
        let listings = Listings::default();
        let limit = ("limit", String::from("2"));
        let first = page(&listings, std::slice::from_ref(&limit)).await.unwrap();
        assert_eq!(first["items"], json!([0, 1]));
        let cursor = ("cursor", first["next"].as_str().unwrap().to_owned());
        for _ in 0..2 {
            let second = page(&listings, &[limit.clone(), cursor.clone()]).await.unwrap();
            assert_eq!(second["items"], json!([2, 3]));
            let last = ("cursor", second["next"].as_str().unwrap().to_owned());
            assert_eq!(page(&listings, &[limit.clone(), last]).await.unwrap(), json!({"items": [4], "next": null}));
        }
        for _ in 0..KEPT_MAX {
            let _another = page(&listings, std::slice::from_ref(&limit)).await.unwrap();
        }
        assert!(page(&listings, &[limit, cursor]).await.is_err(), "a list that is forgotten is not an empty one");
    }
}
