//! Issuance under every fault that can be scripted: one order, one certificate or one refusal.

use std::time::Duration;

use acme::{
    ids::{JobId, OrderId},
    order::OrderStatus,
    problem::{Problem, ProblemKind},
    registration::Registration,
};
use store::Commit;

use super::*;
use crate::testing::{Fault, Gateway, Moment, Operation, Ruling, away, new_csr};

mod acceptance;
mod ending;
mod sending;
mod standing;
mod waiting;

/// A gateway with an order that was finalized.
struct Case {
    gateway: Gateway,
    registration: Registration,
    order: OrderId,
}

impl Case {
    async fn new() -> Self {
        Self::on(Gateway::new().await).await
    }

    async fn on(gateway: Gateway) -> Self {
        let registration = gateway.registration();
        let order = gateway.ready_order(&registration, &["a.test", "*.a.test"]).await;
        gateway.finalize(&registration, &order, new_csr(&["a.test", "*.a.test"])).await.unwrap();
        Self { gateway, registration, order }
    }

    /// One whose order is of the endpoint with this name.
    async fn at(endpoint: &str) -> Self {
        let gateway = Gateway::new().await;
        let (registration, endpoint) = (gateway.registration(), gateway.endpoint(endpoint));
        let (app, now) = (&gateway.app, clock::now());
        let asked = crate::testing::new_order(&["a.test"]);
        let made = crate::ra::order::create(app, &endpoint, &registration, (&asked, None), now).await.unwrap();
        let order = gateway.ready_order_of(&registration, made.order).await;
        let (csr_der, client, proof) =
            (new_csr(&["a.test"]).der().to_vec(), crate::testing::client(), crate::testing::proof());
        let request =
            crate::ra::finalize::Request { order: order.clone(), csr_der, client, client_certificate: None, proof };
        crate::ra::finalize::finalize(app, &endpoint, &registration, &request, now).await.unwrap();
        Self { gateway, registration, order }
    }

    fn job_id(&self) -> JobId {
        Job::issuance_id(&self.order)
    }

    /// One attempt of the issuance job.
    async fn attempt(&self) -> anyhow::Result<()> {
        let job = self.gateway.job(&self.job_id()).await.expect("there is an issuance job");
        issue(&self.gateway.app, job).await
    }

    async fn status(&self) -> OrderStatus {
        self.gateway.status(&self.order).await
    }

    /// Attempts until the order has ended.
    async fn run(&self) {
        const ENOUGH: usize = 20;
        for _ in 0..ENOUGH {
            if self.status().await != OrderStatus::Processing {
                return;
            }
            self.attempt().await.unwrap();
        }
        panic!("the order does not end");
    }

    async fn problem(&self) -> Problem {
        let order = self.gateway.order_now(&self.order).await;
        let Progress::Failed { problem } = order.progress else { panic!("{order:?}") };
        problem
    }

    async fn submission(&self) -> Submission {
        let job = self.gateway.job(&self.job_id()).await.unwrap().value;
        let Work::Issue { submission, .. } = job.work else { panic!("{job:?}") };
        submission
    }

    /// The CM has had the request for so long.
    async fn has_waited(&self, time: Duration) {
        let job = self.gateway.job(&self.job_id()).await.unwrap();
        let mut work = job.value.work.clone();
        let Work::Issue { submission, .. } = &mut work else { panic!("{job:?}") };
        let (Submission::MayHaveBeenSent { since } | Submission::Accepted { since, .. }) = submission else {
            panic!("{job:?}")
        };
        *since = since.minus(time);
        let mut commit = Commit::new();
        commit.update_job(&job, Job { work, ..job.value.clone() });
        self.gateway.app.store.commit(commit).await.unwrap();
    }

    /// The order's time is over.
    async fn expire(&self) {
        let stored = self.gateway.app.store.order(&self.order).await.unwrap().unwrap();
        let expired = Order { expires: clock::now(), ..stored.value.clone() };
        let mut commit = Commit::new();
        commit.update_order(&stored, expired, self.gateway.app.keep_until(clock::now()));
        self.gateway.app.store.commit(commit).await.unwrap();
    }

    fn count(&self, operation: Operation) -> usize {
        self.gateway.cm.calls(operation).len()
    }

    /// The order has the one certificate that the CM issued, and all submissions were the same.
    async fn assert_issued_once(&self) {
        let certificates = self.gateway.cm.certificates();
        assert_eq!(certificates.len(), 1, "the CM has issued once");
        let order = self.gateway.order_now(&self.order).await;
        let Progress::Issued { certificate, .. } = &order.progress else { panic!("{order:?}") };
        assert_eq!(*certificate, certificates[0].id);
        let submissions = self.gateway.cm.calls(Operation::Submit);
        assert!(submissions.iter().all(|call| *call == submissions[0]), "same octets, same key");
    }
}

/// Runs whatever jobs there are until there are none.
async fn run_all(gateway: &Gateway) {
    const ENOUGH: usize = 20;
    for _ in 0..ENOUGH {
        let jobs = gateway.jobs().await;
        if jobs.is_empty() {
            return;
        }
        for job in jobs {
            match job.value.work.clone() {
                Work::Issue { .. } => issue(&gateway.app, job).await.unwrap(),
                Work::ConfirmDelivery { realm, request, failed, .. } => {
                    confirm_delivery(&gateway.app, &job, &realm, &request, &failed).await.unwrap();
                }
                Work::Validate { .. } | Work::Revoke(_) => panic!("nothing is validated or revoked here"),
            }
        }
    }
    panic!("there is always another job");
}
