//! Failures of challenges without their secrets: for the log, for auditors, for transcripts, for pages behind a
//! link.
//!
//! The client that signs its requests is told what its server should have shown, and in which place (RFC 8555 §8.2).
//! Everybody else reads here that it was a token, or a key authorization, which begins with one.

use acme::{
    authorization::Authorization,
    base64url,
    challenge::{Challenge, ChallengeState},
    problem::{Problem, Subproblem},
};

/// A problem of this authorization without its tokens and key authorizations.
pub(crate) fn without_tokens(problem: &Problem, authorization: &Authorization) -> Problem {
    let hidden = |text: &str| {
        let tokens = authorization.challenges.iter().map(|challenge| challenge.token.as_str());
        tokens.fold(text.to_owned(), |text, token| without(&text, token))
    };
    let subproblem = |one: &Subproblem| Subproblem { detail: hidden(&one.detail).into(), ..one.clone() };
    Problem {
        kind: problem.kind,
        detail: hidden(&problem.detail).into(),
        subproblems: problem.subproblems.iter().map(subproblem).collect(),
        rule: problem.rule,
    }
}

/// The authorization with its failures told so; what an order says of it is then told so too.
pub(crate) fn failed_without_tokens(authorization: &Authorization) -> Authorization {
    let challenge = |challenge: &Challenge| match &challenge.state {
        ChallengeState::Invalid { at, problem } => {
            let state = ChallengeState::Invalid { at: *at, problem: without_tokens(problem, authorization) };
            Challenge { state, ..challenge.clone() }
        }
        ChallengeState::Pending
        | ChallengeState::Processing { .. }
        | ChallengeState::Valid { .. }
        | ChallengeState::Waived { .. } => challenge.clone(),
    };
    Authorization { challenges: authorization.challenges.iter().map(challenge).collect(), ..authorization.clone() }
}

fn without(text: &str, token: &str) -> String {
    const THUMBPRINT_CHARACTERS: usize = 43;
    let mut pieces = text.split(token);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let thumbprint = piece.strip_prefix('.').and_then(|rest| rest.split_at_checked(THUMBPRINT_CHARACTERS));
        let thumbprint = thumbprint.filter(|(thumbprint, _)| base64url::decode(thumbprint).is_ok());
        out.push_str(if thumbprint.is_some() { "(key authorization)" } else { "(token)" });
        out.push_str(thumbprint.map_or(piece, |(_, rest)| rest));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use acme::{
        challenge::{ChallengeKind, Token},
        identifier::Identifier,
        ids::{AuthorizationId, EndpointName, RegistrationId},
        problem::ProblemKind,
        time::Timestamp,
    };

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

    fn authorization(octet: u8) -> Authorization {
        let challenge = |kind, octet| Challenge::new(kind, Token::from_random([octet; 32]));
        Authorization {
            id: AuthorizationId::parse("a1").unwrap(),
            endpoint: EndpointName::parse("open").unwrap(),
            account: RegistrationId::parse("reg_1").unwrap(),
            identifier: Identifier::parse_dns("a.test").unwrap(),
            challenges: vec![challenge(ChallengeKind::Http01, octet), challenge(ChallengeKind::Dns01, octet + 1)],
            expires: NOW.plus(Duration::from_secs(60)),
            deactivated_at: None,
            revoked_at: None,
        }
    }

    fn problem(detail: &str) -> Problem {
        Problem::new(ProblemKind::IncorrectResponse, detail.to_owned())
    }

    #[test]
    fn tokens_and_key_authorizations_are_named_and_not_told() {
        let authorization = authorization(7);
        let tokens: Vec<_> = authorization.challenges.iter().map(|one| one.token.as_str()).collect();
        let (token, other) = (tokens[0], tokens[1]);
        let thumbprint = "A".repeat(43);
        let table = [
            (format!("http://a.test/{token}: answered 404"), "http://a.test/(token): answered 404"),
            (format!("/{token}: expected {token}.{thumbprint}"), "/(token): expected (key authorization)"),
            (format!("{token}.{thumbprint}, not {other}."), "(key authorization), not (token)."),
            (format!("{token}.html"), "(token).html"),
            ("nothing to hide".to_owned(), "nothing to hide"),
        ];
        for (text, told) in table {
            assert_eq!(without_tokens(&problem(&text), &authorization), problem(told));
        }
    }

    #[test]
    fn subproblems_have_secrets_too() {
        let authorization = authorization(7);
        let token = authorization.challenges[0].token.as_str();
        let names = ["a.test", "b.test"].map(|name| Identifier::parse_dns(name).unwrap());
        let about = |text: &str| {
            let of = |name| Subproblem::new(ProblemKind::IncorrectResponse, name, text.to_owned());
            Problem::about_identifiers(names.iter().map(of).collect(), 2)
        };
        assert_eq!(without_tokens(&about(token), &authorization), about("(token)"));
    }

    #[test]
    fn only_the_words_of_a_failure_are_changed() {
        let mut failed = authorization(7);
        assert_eq!(failed_without_tokens(&failed), failed);
        let detail = failed.challenges[0].token.as_str().to_owned();
        failed.challenges[0].state = ChallengeState::Invalid { at: NOW, problem: problem(&detail) };
        let told = failed_without_tokens(&failed);
        assert_eq!(told.failure(), Some(&problem("(token)")));
        failed.challenges[0].state = told.challenges[0].state.clone();
        assert_eq!(told, failed);
    }
}
