//! Every step on the way from newAccount to a revocation, and a crash right before and right after each: the steps are
//! S1 to S17, as the design counts them. Whatever died, the client that goes on gets one account, one certificate and
//! one revocation.

use std::{collections::BTreeSet, future::poll_fn, pin::pin, sync::Arc, task::Poll};

use acme::{
    account_key::PublicKey,
    authorization::AuthorizationStatus,
    certificate::{CertificateId, PresentedCertificate},
    challenge::{ChallengeKind, KeyAuthorization},
    csr::Csr,
    ids::OrderId,
    order::{OrderStatus, Progress},
    problem::ProblemKind,
    registration::Registration,
    revocation::RevocationReason,
};
use cm_connector::Delivery;
use store::{Submission, Work};

use super::runner::perform;
use crate::{
    clock,
    ra::{
        self, Error,
        account::NewAccount,
        revocation::{Request, Requester},
    },
    testing::{self, Fault, Gateway, Moment, Operation, Ruling, Web, new_csr, new_key},
};

const STEPS: std::ops::RangeInclusive<u8> = 1..=17;
/// An address, so that no name has to be looked up.
const IDENTIFIER: &str = "127.0.0.1";

/// Where the process can die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// At the commit after so many others in the life of the client.
    Commit(usize),
    /// At this call to the CM.
    Call(Operation),
    /// When the worker takes the validation job.
    Taken,
    /// While the validator looks at the client's proof.
    Look,
    /// When the client downloads.
    Download,
    /// The same, and the store is lost too.
    StoreLost,
}

/// A step, where it can die, and how it stands on the disk then.
struct Row {
    step: u8,
    what: &'static str,
    point: Point,
    before: &'static str,
    after: &'static str,
}

const fn row(step: u8, what: &'static str, point: Point, before: &'static str, after: &'static str) -> Row {
    Row { step, what, point, before, after }
}

const NOT_SENT: &str = "processing, to be sent";
const MAY_BE_SENT: &str = "processing, may have been sent";
const ACCEPTED: &str = "processing, accepted by the CM";
const TO_CONFIRM: &str = "valid, delivery to be confirmed";
const TO_REVOKE: &str = "valid, to be revoked";

const ROWS: [Row; 23] = [
    row(1, "that an account is asked for", Point::Commit(0), "no account", "no account"),
    row(1, "the CM creates the registration", Point::Call(Operation::CreateRegistration), "no account", "no order"),
    row(2, "the new account is audited", Point::Commit(1), "no order", "no order"),
    row(3, "newOrder", Point::Commit(2), "no order", "pending"),
    row(4, "the response to a challenge", Point::Commit(3), "pending", "pending, to be validated"),
    row(5, "a worker takes the job", Point::Taken, "pending, to be validated", "pending, to be validated"),
    row(6, "the look at the proof", Point::Look, "pending, to be validated", "pending, to be validated"),
    row(7, "the result of the validation", Point::Commit(4), "pending, to be validated", "ready"),
    row(8, "finalize", Point::Commit(5), "ready", NOT_SENT),
    row(9, "the intent to send", Point::Commit(6), NOT_SENT, MAY_BE_SENT),
    row(10, "the submission", Point::Call(Operation::Submit), MAY_BE_SENT, MAY_BE_SENT),
    row(11, "the CM's request id", Point::Commit(7), MAY_BE_SENT, ACCEPTED),
    row(12, "a look at a request that waits", Point::Call(Operation::Request), ACCEPTED, ACCEPTED),
    row(12, "when to look again", Point::Commit(8), ACCEPTED, ACCEPTED),
    row(13, "the look that brings the certificate", Point::Call(Operation::Request), ACCEPTED, ACCEPTED),
    row(14, "the certificate", Point::Commit(9), ACCEPTED, TO_CONFIRM),
    row(14, "the confirmation of its delivery", Point::Call(Operation::ConfirmDelivery), TO_CONFIRM, TO_CONFIRM),
    row(14, "that it is confirmed", Point::Commit(10), TO_CONFIRM, "valid"),
    row(15, "the download", Point::Download, "valid", "valid"),
    row(16, "the download after the store is lost", Point::StoreLost, "no order", "no order"),
    row(17, "the revocation that is asked for", Point::Commit(11), "valid", TO_REVOKE),
    row(17, "the revocation at the CM", Point::Call(Operation::Revoke), TO_REVOKE, TO_REVOKE),
    row(17, "that it is revoked", Point::Commit(12), TO_REVOKE, "valid"),
];

/// The process is gone.
struct Died;

/// What a client knows, and goes on with.
struct Client {
    key: PublicKey,
    csr: Csr,
    account: Option<Arc<Registration>>,
    order: Option<OrderId>,
    certificate: Option<CertificateId>,
    chains: Option<Arc<[String]>>,
    is_revoked: bool,
    /// Where the gateway dies by the hand of the test.
    dies_at: Option<(Point, Moment)>,
}

impl Client {
    fn new(dies_at: Option<(Point, Moment)>) -> Self {
        let (key, csr) = (new_key(), new_csr(&[IDENTIFIER]));
        let (account, order, certificate, chains) = (None, None, None, None);
        Self { key, csr, account, order, certificate, chains, is_revoked: false, dies_at }
    }

    /// Does whatever is left to be done.
    async fn live(&mut self, gateway: &Gateway, web: &Web) -> Result<(), Died> {
        let account = match &self.account {
            Some(account) => account.clone(),
            None => self.account.insert(self.register(gateway).await).clone(),
        };
        if self.certificate.is_none() {
            let order = match &self.order {
                Some(order) => order.clone(),
                None => self.order.insert(gateway.order(&account, &[IDENTIFIER]).await.unwrap().order.id).clone(),
            };
            self.certificate = Some(self.take_to_the_end(gateway, web, &account, &order).await?);
        }
        self.run_jobs(gateway).await?;
        self.download(gateway, &account).await?;
        if !self.is_revoked {
            self.revoke(gateway, &account).await;
        }
        self.run_jobs(gateway).await
    }

    async fn register(&self, gateway: &Gateway) -> Arc<Registration> {
        let request = NewAccount {
            key: self.key.clone(),
            contacts: Vec::new(),
            terms_of_service_agreed: false,
            only_return_existing: false,
            external_account_binding: None,
            directory_token: None,
            url: String::from("https://acme.example.com/acme/open/new-account"),
            client: testing::client(),
            proof: testing::proof(),
        };
        let created = ra::account::create(&gateway.app, &gateway.endpoint("open"), request, clock::now()).await;
        created.unwrap().registration
    }

    async fn take_to_the_end(
        &self,
        gateway: &Gateway,
        web: &Web,
        account: &Registration,
        order: &OrderId,
    ) -> Result<CertificateId, Died> {
        const ENOUGH: usize = 20;
        for _ in 0..ENOUGH {
            match gateway.status(order).await {
                OrderStatus::Pending => {
                    self.respond(gateway, web, account, order).await;
                    self.run_jobs(gateway).await?;
                }
                OrderStatus::Ready => {
                    // The request waits while workers go on.
                    let finalized = gateway.finalize(account, order, self.csr.clone());
                    let (finalized, worked) = tokio::join!(finalized, self.work_on(gateway, order));
                    drop(finalized.unwrap());
                    worked?;
                }
                OrderStatus::Processing => self.work_on(gateway, order).await?,
                OrderStatus::Valid => {
                    let Progress::Issued { certificate, .. } = gateway.order_now(order).await.progress else {
                        panic!("a valid order has its certificate")
                    };
                    return Ok(certificate);
                }
                OrderStatus::Invalid => panic!("{:?}", gateway.order_now(order).await),
            }
        }
        panic!("the order does not end");
    }

    /// Runs jobs until the order has ended.
    async fn work_on(&self, gateway: &Gateway, order: &OrderId) -> Result<(), Died> {
        while gateway.status(order).await == OrderStatus::Processing {
            self.run_one_job(gateway).await?;
        }
        Ok(())
    }

    async fn respond(&self, gateway: &Gateway, web: &Web, account: &Registration, order: &OrderId) {
        for id in gateway.order_now(order).await.authorizations {
            let authorization = gateway.authorization_now(&id).await;
            if authorization.status(clock::now()) != AuthorizationStatus::Pending {
                continue;
            }
            let kind = ChallengeKind::Http01;
            let token = &authorization.challenge(kind).unwrap().token;
            web.show(KeyAuthorization::new(token, &self.key.thumbprint()).as_str());
            let (app, endpoint) = (&gateway.app, gateway.endpoint("open"));
            let account = (testing::asked(account), &self.key);
            ra::challenge::respond(app, &endpoint, account, &id, kind, clock::now()).await.unwrap();
        }
    }

    async fn run_jobs(&self, gateway: &Gateway) -> Result<(), Died> {
        const ENOUGH: usize = 20;
        for _ in 0..ENOUGH {
            if gateway.jobs().await.is_empty() {
                return Ok(());
            }
            self.run_one_job(gateway).await?;
        }
        panic!("there is always another job");
    }

    /// Runs the first job, if there is one.
    async fn run_one_job(&self, gateway: &Gateway) -> Result<(), Died> {
        // Whoever watches for the death of the process comes first: nobody works on in a dead one.
        tokio::task::yield_now().await;
        let Some(job) = gateway.jobs().await.into_iter().next() else { return Ok(()) };
        let is_look = matches!(job.value.work, Work::Validate { .. });
        let mut work = pin!(perform(gateway.app.clone(), job));
        if is_look && self.dies_at == Some((Point::Taken, Moment::BeforeTheEffect)) {
            return Err(Died);
        }
        if is_look && self.dies_at == Some((Point::Taken, Moment::AfterTheEffect)) {
            let is_done = poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_ready())).await;
            assert!(!is_done, "nothing is looked at in no time");
            return Err(Died);
        }
        work.await.unwrap();
        Ok(())
    }

    async fn download(&mut self, gateway: &Gateway, account: &Registration) -> Result<(), Died> {
        let (app, endpoint) = (&gateway.app, gateway.endpoint("open"));
        let points = [Point::Download, Point::StoreLost].map(Some);
        let dies = |moment| points.contains(&self.dies_at.filter(|at| at.1 == moment).map(|at| at.0));
        if dies(Moment::BeforeTheEffect) {
            return Err(Died);
        }
        // The key that seals does not lie in the store.
        let handle = ra::certificate::seal(&app.sealer, self.certificate.as_ref().unwrap());
        let chains = ra::certificate::download(app, &endpoint, &account.id, &handle, clock::now()).await.unwrap();
        let dies_now = dies(Moment::AfterTheEffect);
        assert_eq!(*self.chains.get_or_insert_with(|| chains.clone()), chains, "it is the same each time");
        if dies_now { Err(Died) } else { Ok(()) }
    }

    async fn revoke(&mut self, gateway: &Gateway, account: &Registration) {
        let certificate = gateway.cm.certificates().remove(0);
        let request = Request {
            certificate: PresentedCertificate {
                sha256: certificate.claims.sha256,
                serial: certificate.claims.serial.clone(),
                authority_key_id: Vec::new(),
                spki_der: Vec::new(),
                names: certificate.identifiers.iter().cloned().collect(),
                not_after: certificate.not_after,
            },
            reason: RevocationReason::Superseded,
            requester: Requester::Account(&account.id),
            client: testing::client(),
            proof: testing::proof(),
        };
        let endpoint = gateway.endpoint("open");
        self.is_revoked = match ra::revocation::revoke(&gateway.app, &endpoint, request, clock::now()).await {
            Ok(()) => true,
            Err(Error::Refused(refusal)) => refusal.problem.kind == ProblemKind::AlreadyRevoked,
            Err(other) => panic!("{other:?}"),
        };
    }
}

/// A gateway whose client is going to die, or not.
struct Case {
    gateway: Gateway,
    web: Web,
    client: Client,
}

impl Case {
    async fn new(dies_at: Option<(Point, Moment)>) -> Self {
        let web = Web::start().await;
        let gateway = Gateway::with(&format!("validation.http_port = {}", web.port)).await;
        Self { gateway, web, client: Client::new(dies_at) }
    }

    /// Lives until everything is done or the process dies: whether it died.
    async fn live(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.gateway.disk.power_cut() => true,
            () = self.gateway.cm.hung() => true,
            () = self.web.asked_in_vain() => true,
            ended = self.client.live(&self.gateway, &self.web) => ended.is_err(),
        }
    }

    async fn plan(row: &Row, moment: Moment) -> Self {
        let case = Self::new(Some((row.point, moment))).await;
        // The first look at a request finds it waiting, unless that look is to bring the certificate.
        case.gateway.cm.rule(Ruling::IssuedAfter(if row.step == 13 { 1 } else { 2 }));
        match (row.point, moment) {
            (Point::Commit(commits), moment) => case.gateway.disk.cut_power_after(commits, moment),
            (Point::Call(operation), moment) => case.gateway.cm.next(operation, Fault::Hangs(moment)),
            (Point::Look, Moment::BeforeTheEffect) => case.web.is_silent(true),
            // What was seen has no effect before it is written down.
            (Point::Look, Moment::AfterTheEffect) => {
                case.gateway.disk.cut_power_after(4, Moment::BeforeTheEffect);
            }
            (Point::Taken | Point::Download | Point::StoreLost, _) => {}
        }
        case
    }

    /// The gateway starts again and the client goes on with what it knows.
    async fn restart(self) -> Self {
        if self.client.dies_at.is_some_and(|(point, _)| point == Point::StoreLost) {
            self.gateway.disk.lose_everything().await;
        }
        self.web.is_silent(false);
        let client = Client { dies_at: None, ..self.client };
        Self { gateway: self.gateway.restarted_with_catalogue().await, web: self.web, client }
    }

    /// How it stands on the disk and, for the account, in the CM.
    async fn state(&self) -> String {
        let Some(account) = self.gateway.cm.registrations().pop() else { return String::from("no account") };
        let (app, endpoint) = (&self.gateway.app, self.gateway.endpoint("open"));
        let orders = ra::order::list(app, &endpoint, &account.id, None, clock::now()).await.unwrap().orders;
        let Some(order) = orders.last() else { return String::from("no order") };
        let mut state = format!("{:?}", self.gateway.status(order).await).to_lowercase();
        for job in self.gateway.jobs().await {
            state.push_str(match job.value.work {
                Work::Validate { .. } => ", to be validated",
                Work::Issue { submission: Submission::NotSent, .. } => ", to be sent",
                Work::Issue { submission: Submission::MayHaveBeenSent { .. }, .. } => ", may have been sent",
                Work::Issue { submission: Submission::Accepted { .. }, .. } => ", accepted by the CM",
                Work::ConfirmDelivery { .. } => ", delivery to be confirmed",
                Work::Revoke(_) => ", to be revoked",
            });
        }
        state
    }

    /// One account, one certificate, one revocation, and nothing left to be done.
    async fn assert_done_once(&self, what: &str) {
        let cm = &self.gateway.cm;
        assert_eq!(cm.registrations().len(), 1, "{what}: one account");
        let certificates = cm.certificates();
        assert_eq!(certificates.len(), 1, "{what}: the CM has issued once");
        assert_eq!(self.client.certificate.as_ref(), Some(&certificates[0].id), "{what}");
        let submissions = cm.calls(Operation::Submit);
        assert!(submissions.iter().all(|call| *call == submissions[0]), "{what}: same octets, same key");
        let deliveries = cm.deliveries();
        assert!(!deliveries.is_empty() && deliveries.iter().all(|one| *one == Delivery::Accepted), "{what}");
        assert!(self.client.is_revoked && certificates[0].revocation.is_some(), "{what}: it is revoked");
        let keys: BTreeSet<_> = cm.calls(Operation::Revoke).into_iter().map(|call| call.key).collect();
        assert_eq!(keys.len(), 1, "{what}: one key for all calls");
        assert_eq!(self.gateway.jobs().await, [], "{what}: nothing is left to be done");
    }
}

#[tokio::test]
async fn a_crash_before_or_after_any_step_costs_nothing_and_does_nothing_twice() {
    for row in &ROWS {
        for (moment, left) in [(Moment::BeforeTheEffect, row.before), (Moment::AfterTheEffect, row.after)] {
            let what = format!("S{}, {}, {moment:?}", row.step, row.what);
            let mut case = Case::plan(row, moment).await;
            assert!(case.live().await, "{what}: it did not die");
            let mut case = case.restart().await;
            assert_eq!(case.state().await, left, "{what}");
            assert!(!case.live().await, "{what}: it died again");
            case.assert_done_once(&what).await;
        }
    }
}

#[tokio::test]
async fn every_step_and_every_commit_has_its_row() {
    let steps: BTreeSet<_> = ROWS.iter().map(|row| row.step).collect();
    assert_eq!(steps, STEPS.collect());
    let mut case = Case::new(None).await;
    case.gateway.cm.rule(Ruling::IssuedAfter(2));
    assert!(!case.live().await);
    case.assert_done_once("nothing died").await;
    let rows: Vec<_> = ROWS.iter().map(|row| row.point).collect();
    for commit in 0..case.gateway.disk.commits() {
        assert!(rows.contains(&Point::Commit(commit)), "commit {commit} has no row");
    }
}
