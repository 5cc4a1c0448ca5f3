//! The compiled engine and stock Cedar over the same state, known to answer the same.

use std::sync::Arc;

use cedar_policy::Request;
use palisade_engine::model::{AccessRequest, Bundle};
use palisade_engine::{Snapshot, on_big_stack};

use super::cases::Case;
use super::stock::{Stock, assert_same};

/// Both, over one bundle.
pub(crate) struct Engines {
    pub compiled: Arc<Snapshot>,
    pub stock: Stock,
}

impl Engines {
    pub(crate) fn build(bundle: Bundle) -> Self {
        // Cedar's parser recurses, and so do the cases' longest conditions
        let stock = on_big_stack(|| Stock::build(&bundle)).unwrap();
        Self { compiled: super::snapshot(bundle), stock }
    }

    /// Decides each question both ways and stops the bench at a difference. Returns the questions as Cedar
    /// takes them.
    pub(crate) fn agree(&self, questions: &[AccessRequest<'_>]) -> Vec<Request> {
        let requests: Vec<Request> = questions.iter().map(|question| self.stock.request(question)).collect();
        for (i, (question, request)) in questions.iter().zip(&requests).enumerate() {
            let decision = self.compiled.decide(question, super::NOW).unwrap();
            assert_same(&decision, &self.stock.decide(request), i);
        }
        assert_eq!(self.compiled.fallbacks(), 0, "a fallback would measure the reference");
        requests
    }
}

/// A case with its questions in both forms.
pub(crate) struct Ready {
    pub engines: Engines,
    pub questions: Vec<AccessRequest<'static>>,
    pub requests: Vec<Request>,
}

impl Ready {
    pub(crate) fn new(case: Case) -> Self {
        let questions: Vec<_> = case.bodies.iter().map(|body| super::request(body).into_owned()).collect();
        let engines = Engines::build(case.bundle);
        let requests = engines.agree(&questions);
        Self { engines, questions, requests }
    }
}
