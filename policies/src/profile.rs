//! Which profile an order gets, and which validity (draft-ietf-acme-profiles; RFC 8555 §7.4; CM
//! contract sections 4.2 and 4.3).

use std::time::Duration;

use acme::{
    ids::ProfileName,
    problem::{Problem, ProblemKind},
    profile::Profile,
    registration::Registration,
    time::Timestamp,
};

use crate::{
    rule::{Refusal, Rule},
    wording::list,
};

/// How far from our clock a requested `notBefore` may lie, either way. Ahead it is what the
/// checks of the issued certificate bear (CM contract section 7, V6); back it forgives slow
/// clocks without letting certificates be dated back.
const START_DISTANCE_MAX: Duration = Duration::from_secs(300);

/// Chooses the profile of a new order among those offered: the requested one, else the endpoint's
/// own, else the realm's default, else the first that the registration names.
///
/// A registration that names no profiles may use the realm's default only. Call it again at
/// finalize: a profile may have been withdrawn since.
///
/// # Errors
/// `invalidProfile` if the profile is not offered, the registration may not use it, or none was
/// named and there is no default; the detail lists what may be chosen.
pub fn choose<'a>(
    requested: Option<&ProfileName>,
    endpoint_profile: Option<&ProfileName>,
    registration: &Registration,
    profiles: &'a [Profile],
) -> Result<&'a Profile, Problem> {
    let chosen = match requested.or(endpoint_profile) {
        Some(name) => named(name, registration, profiles),
        None => unnamed(registration, profiles),
    };
    chosen.map_err(|refusal| refusal.into_problem(ProblemKind::InvalidProfile))
}

/// Judges the validity that an order asks for: it is honoured exactly or refused.
///
/// # Errors
/// `malformed` if the profile does not let clients choose, the span is empty, over, or longer
/// than the profile's or the registration's, or it begins more than five minutes from `now`.
pub fn check_validity(
    wanted: Validity,
    registration: &Registration,
    profile: &Profile,
    now: Timestamp,
) -> Result<(), Problem> {
    let refused = refuse_start(wanted, profile, now);
    as_problem(refused.or_else(|| refuse_end(wanted, registration, profile, now)))
}

/// Judges again, at any later time, the validity that an order asked for. When it began to count was judged when it
/// was made.
///
/// # Errors
/// As those of [`check_validity`] about its end.
pub fn check_validity_again(
    wanted: Validity,
    registration: &Registration,
    profile: &Profile,
    now: Timestamp,
) -> Result<(), Problem> {
    as_problem(refuse_end(wanted, registration, profile, now))
}

/// What a client wants of the validity; what it leaves out the profile decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// `notBefore` of the order.
    pub not_before: Option<Timestamp>,
    /// `notAfter` of the order.
    pub not_after: Option<Timestamp>,
}

fn as_problem(refused: Option<Refusal>) -> Result<(), Problem> {
    refused.map_or(Ok(()), |refusal| Err(refusal.into_problem(ProblemKind::Malformed)))
}

/// Whether a registration, and its parent, may use a profile.
#[must_use]
pub fn may_use(registration: &Registration, profile: &Profile) -> bool {
    let permits = |allowed: &Vec<ProfileName>| {
        if allowed.is_empty() { profile.is_default } else { allowed.contains(&profile.name) }
    };
    let of_parent = registration.parent.as_ref().map(|parent| &parent.allowed_profiles);
    permits(&registration.allowed_profiles) && of_parent.is_none_or(permits)
}

fn named<'a>(name: &ProfileName, registration: &Registration, profiles: &'a [Profile]) -> Result<&'a Profile, Refusal> {
    let (rule, what) = match profiles.iter().find(|profile| profile.name == *name) {
        Some(profile) if may_use(registration, profile) => return Ok(profile),
        Some(_) => (Rule::ProfileNotAllowed, format!("this registration may not use the profile {name}")),
        None => (Rule::ProfileUnknown, format!("there is no profile {name} here")),
    };
    Err(Refusal::new(rule, what, cure(registration, profiles)))
}

fn unnamed<'a>(registration: &Registration, profiles: &'a [Profile]) -> Result<&'a Profile, Refusal> {
    let usable = |profile: &&Profile| may_use(registration, profile);
    let default = profiles.iter().filter(usable).find(|profile| profile.is_default);
    let of_name = |name: &ProfileName| profiles.iter().filter(usable).find(|profile| profile.name == *name);
    let first_allowed = || registration.allowed_profiles.iter().find_map(of_name);
    default.or_else(first_allowed).ok_or_else(|| {
        let what = "the order names no profile, and none is the default of this registration";
        Refusal::new(Rule::ProfileNoDefault, what, cure(registration, profiles))
    })
}

fn cure(registration: &Registration, profiles: &[Profile]) -> String {
    let usable: Vec<_> = profiles.iter().filter(|profile| may_use(registration, profile)).collect();
    if usable.is_empty() {
        String::from("ask the registration authority for a profile")
    } else {
        format!("choose among {}", list(usable.iter().map(|profile| &profile.name)))
    }
}

fn refuse_start(wanted: Validity, profile: &Profile, now: Timestamp) -> Option<Refusal> {
    let start = wanted.not_before.filter(|_| profile.client_may_choose_validity)?;
    let is_near = start <= now.plus(START_DISTANCE_MAX) && start >= now.minus(START_DISTANCE_MAX);
    (!is_near).then(|| {
        let what = format!("notBefore {start} is more than five minutes from the time here, {now}");
        Refusal::new(Rule::OrderValidityStart, what, "leave it out, or set the clock")
    })
}

fn refuse_end(wanted: Validity, registration: &Registration, profile: &Profile, now: Timestamp) -> Option<Refusal> {
    let (name, Validity { not_before, not_after }) = (&profile.name, wanted);
    if not_before.is_none() && not_after.is_none() {
        return None;
    }
    if !profile.client_may_choose_validity {
        let what = format!("the profile {name} sets the validity itself");
        return Some(Refusal::new(Rule::ProfileValidityFixed, what, "leave out notBefore and notAfter"));
    }
    let end = not_after?;
    let start = not_before.unwrap_or(now);
    if end <= now {
        let what = format!("notAfter {end} is past; the time here is {now}");
        return Some(Refusal::new(Rule::OrderValidityOver, what, "ask for a later one, or set the clock"));
    }
    if end <= start {
        let what = format!("notAfter {end} is not later than notBefore {start}");
        return Some(Refusal::new(Rule::OrderValidityEmpty, what, "ask for a later one"));
    }
    // What is longer than either is refused by the one that allows less.
    let latest = |longest: Option<Duration>| longest.map(|longest| start.plus(longest));
    let (by_profile, by_registration) = (latest(profile.validity_max), latest(registration.validity_max));
    let (latest, rule, whose) = match (by_profile, by_registration) {
        (None, None) => return None,
        (Some(latest), None) => (latest, Rule::ProfileValidityTooLong, format!("the profile {name} allows")),
        (Some(profile), Some(own)) if profile <= own => {
            (profile, Rule::ProfileValidityTooLong, format!("the profile {name} allows"))
        }
        (_, Some(own)) => (own, Rule::RegistrationValidityTooLong, String::from("this registration allows")),
    };
    let what = || format!("notAfter {end} is later than {whose}");
    (end > latest).then(|| Refusal::new(rule, what(), format!("ask for {latest} or earlier")))
}

#[cfg(test)]
mod tests {
    use acme::registration::Parent;

    use super::*;
    use crate::samples::{profile, registration};

    const NOW: Timestamp = Timestamp::from_unix_secs(1_795_342_200);
    const DAY: Duration = Duration::from_secs(86_400);

    fn named_profile(name: &str, is_default: bool) -> Profile {
        Profile { name: ProfileName::parse(name).unwrap(), is_default, ..profile() }
    }

    fn may_use_only(names: &[&str]) -> Registration {
        let allowed_profiles = names.iter().map(|name| ProfileName::parse(name).unwrap()).collect();
        Registration { allowed_profiles, ..registration() }
    }

    /// The name of the chosen profile, or the detail of the refusal.
    fn chosen(requested: &str, endpoint: &str, registration: &Registration) -> Result<String, String> {
        let offered = [named_profile("short", false), named_profile("server", true), named_profile("printer", false)];
        let name = |text: &str| (!text.is_empty()).then(|| ProfileName::parse(text).unwrap());
        match choose(name(requested).as_ref(), name(endpoint).as_ref(), registration, &offered) {
            Ok(profile) => Ok(profile.name.to_string()),
            Err(problem) => {
                assert_eq!(problem.kind, ProblemKind::InvalidProfile);
                Err(problem.detail.into_owned())
            }
        }
    }

    #[test]
    fn the_requested_profile_goes_before_the_endpoints_and_that_before_the_default() {
        let all = may_use_only(&["short", "server", "printer"]);
        assert_eq!(chosen("short", "printer", &all).unwrap(), "short");
        assert_eq!(chosen("", "printer", &all).unwrap(), "printer");
        assert_eq!(chosen("", "", &all).unwrap(), "server");
    }

    #[test]
    fn a_registration_without_profiles_may_use_the_default_only() {
        let none = may_use_only(&[]);
        assert_eq!(chosen("", "", &none).unwrap(), "server");
        assert_eq!(chosen("server", "", &none).unwrap(), "server");
        assert_eq!(
            chosen("short", "", &none).unwrap_err(),
            "this registration may not use the profile short (rule profile.not-allowed); choose among server"
        );
        assert!(chosen("", "printer", &none).unwrap_err().contains("(rule profile.not-allowed)"));
    }

    #[test]
    fn a_registration_that_may_not_use_the_default_gets_its_own_first_profile() {
        assert_eq!(chosen("", "", &may_use_only(&["withdrawn", "printer", "short"])).unwrap(), "printer");
    }

    #[test]
    fn a_profile_that_is_not_offered_is_refused() {
        let refused = chosen("Server", "", &may_use_only(&["server", "short"])).unwrap_err();
        assert_eq!(refused, "there is no profile Server here (rule profile.unknown); choose among short, server");
        let refused = chosen("", "", &may_use_only(&["withdrawn"])).unwrap_err();
        assert!(refused.ends_with("(rule profile.no-default); ask the registration authority for a profile"));
        assert!(choose(None, None, &may_use_only(&[]), &[]).is_err());
    }

    fn validity(start: Option<Timestamp>, end: Option<Timestamp>, profile: &Profile) -> Result<(), String> {
        let wanted = Validity { not_before: start, not_after: end };
        check_validity(wanted, &registration(), profile, NOW).map_err(|problem| {
            assert_eq!(problem.kind, ProblemKind::Malformed);
            problem.detail.into_owned()
        })
    }

    #[test]
    fn a_validity_within_the_profile_is_honoured() {
        let profile = profile();
        assert_eq!(validity(None, None, &profile), Ok(()));
        assert_eq!(validity(None, Some(NOW.plus(90 * DAY)), &profile), Ok(()));
        assert_eq!(validity(Some(NOW), Some(NOW.plus(DAY)), &profile), Ok(()));
        assert_eq!(validity(Some(NOW.minus(START_DISTANCE_MAX)), None, &profile), Ok(()));
        assert_eq!(validity(Some(NOW.plus(START_DISTANCE_MAX)), None, &profile), Ok(()));
        let endless = Profile { validity_max: None, ..profile };
        assert_eq!(validity(None, Some(NOW.plus(9_000 * DAY)), &endless), Ok(()));
    }

    #[test]
    fn a_validity_that_cannot_be_honoured_is_refused_by_name() {
        let profile = profile();
        let second = Duration::from_secs(1);
        let table = [
            (None, Some(NOW), "order.validity-over"),
            (None, Some(NOW.minus(DAY)), "order.validity-over"),
            (Some(NOW.plus(9 * second)), Some(NOW.plus(9 * second)), "order.validity-empty"),
            (Some(NOW.plus(9 * second)), Some(NOW.plus(8 * second)), "order.validity-empty"),
            (Some(NOW.minus(DAY)), None, "order.validity-start"),
            (Some(NOW.plus(DAY)), Some(NOW.plus(2 * DAY)), "order.validity-start"),
            (None, Some(NOW.plus(90 * DAY + second)), "profile.validity-too-long"),
            (Some(NOW.minus(9 * second)), Some(NOW.plus(90 * DAY)), "profile.validity-too-long"),
        ];
        for (start, end, rule) in table {
            let detail = validity(start, end, &profile).unwrap_err();
            assert!(detail.contains(&format!("(rule {rule})")), "{detail}");
        }
        let fixed = Profile { client_may_choose_validity: false, ..profile };
        assert_eq!(
            validity(None, Some(NOW.plus(DAY)), &fixed).unwrap_err(),
            "the profile tls-server sets the validity itself (rule profile.validity-fixed); \
             leave out notBefore and notAfter"
        );
    }

    #[test]
    fn the_registration_may_allow_less_than_the_profile_and_never_more() {
        let until = |days: u32| Validity { not_before: None, not_after: Some(NOW.plus(DAY * days)) };
        let refused = |longest: Option<Duration>, days: u32| {
            let registration = Registration { validity_max: longest, ..registration() };
            let judge = [check_validity, check_validity_again];
            let details = judge.map(|judge| judge(until(days), &registration, &profile(), NOW).err());
            assert_eq!(details.first(), details.last());
            details.into_iter().flatten().next().map(|problem| problem.detail.into_owned())
        };
        assert_eq!(refused(Some(DAY * 30), 30), None);
        let detail = refused(Some(DAY * 30), 31).unwrap();
        assert!(
            detail.contains("later than this registration allows (rule registration.validity-too-long)"),
            "{detail}"
        );
        assert!(refused(Some(DAY * 300), 91).unwrap().contains("(rule profile.validity-too-long)"));
        assert_eq!(refused(Some(DAY * 300), 90), None);
    }

    #[test]
    fn when_a_validity_begins_is_judged_once() {
        let wanted = Validity { not_before: Some(NOW.minus(DAY)), not_after: Some(NOW.plus(DAY)) };
        assert!(check_validity(wanted, &registration(), &profile(), NOW).is_err());
        assert_eq!(check_validity_again(wanted, &registration(), &profile(), NOW), Ok(()));
        let over = NOW.plus(DAY);
        assert!(check_validity_again(wanted, &registration(), &profile(), over).is_err());
    }

    #[test]
    fn a_child_may_use_what_its_parent_may_use_too() {
        let child = |own: &[&str], parent: &[&str]| {
            let parent = may_use_only(parent);
            let parent = Some(Parent { id: parent.id, allowed_profiles: parent.allowed_profiles });
            Registration { parent, ..may_use_only(own) }
        };
        assert_eq!(chosen("short", "", &child(&["short", "server"], &["short"])).unwrap(), "short");
        assert!(chosen("server", "", &child(&["short", "server"], &["short"])).is_err());
        assert_eq!(chosen("", "", &child(&["server", "short"], &["short"])).unwrap(), "short");
        assert_eq!(chosen("", "", &child(&[], &[])).unwrap(), "server");
        assert!(chosen("", "", &child(&[], &["short"])).unwrap_err().contains("(rule profile.no-default)"));
        assert!(chosen("short", "", &child(&["short"], &[])).is_err(), "an empty list is the default, not everything");
    }
}
