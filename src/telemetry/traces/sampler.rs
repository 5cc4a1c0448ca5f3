//! Which requests get a span: what `OTEL_TRACES_SAMPLER` and its `_ARG` say.

use super::context::Caller;

/// For requests that belong to no trace yet, or for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    All,
    None,
    /// Of the 63 lowest bits of a trace id, those below this.
    Below(u64),
}

/// Which requests get a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sampler {
    /// A caller that is part of a trace decides for its requests.
    by_caller: bool,
    root: Root,
}

impl Default for Sampler {
    /// `parentbased_always_on`.
    fn default() -> Self {
        Self { by_caller: true, root: Root::All }
    }
}

impl Sampler {
    /// What the two variables ask for; what is wrong with them goes to `problems`.
    pub(super) fn read(name: Option<&str>, arg: Option<&str>, problems: &mut Vec<String>) -> Self {
        let Some(name) = name else { return Self::default() };
        let (by_caller, rest) = match name.strip_prefix("parentbased_") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let root = match rest {
            "always_on" => Root::All,
            "always_off" => Root::None,
            "traceidratio" => ratio(arg, problems),
            _ => {
                problems.push(format!(
                    "`OTEL_TRACES_SAMPLER` is `{name}`, which is not known here: `parentbased_always_on` is used. Others \
                     are always_on, always_off, traceidratio, parentbased_always_off, parentbased_traceidratio"
                ));
                return Self::default();
            }
        };
        Self { by_caller, root }
    }

    /// Whether a request of this trace gets a span.
    pub(super) fn samples(self, trace: u128, caller: Option<Caller>) -> bool {
        match (caller, self.root) {
            (Some(caller), _) if self.by_caller => caller.sampled(),
            (_, Root::All) => true,
            (_, Root::None) => false,
            // as other services do it, so that all choose the same traces
            (_, Root::Below(bound)) => (trace as u64) >> 1 < bound,
        }
    }
}

fn ratio(arg: Option<&str>, problems: &mut Vec<String>) -> Root {
    let Some(arg) = arg else { return Root::All };
    match arg.trim().parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Root::Below((ratio * (1_u64 << 63) as f64) as u64),
        _ => {
            problems.push(format!("`OTEL_TRACES_SAMPLER_ARG` is `{arg}`: expected a number from 0 to 1; 1 is used"));
            Root::All
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::context::Ids;
    use super::*;

    #[test]
    fn samplers_are_those_of_the_standard() {
        let caller = |flags| Some(Caller { ids: Ids { trace: u128::MAX, span: 1 }, flags });
        // the request's trace id ends in half of all, a tenth of all, the most
        let (half, tenth, most) = (1_u128 << 63, u128::from(u64::MAX / 10), u128::MAX);
        for (name, arg, trace, caller, expected) in [
            (None, None, most, None, true),
            (None, None, most, caller(1), true),
            (None, None, most, caller(0), false),
            (None, None, most, caller(2), false),
            (Some("parentbased_always_on"), None, most, caller(0), false),
            (Some("parentbased_always_off"), None, most, None, false),
            (Some("parentbased_always_off"), None, most, caller(1), true),
            (Some("always_on"), None, most, caller(0), true),
            (Some("always_off"), None, most, caller(1), false),
            (Some("traceidratio"), Some("0.5"), half - 1, None, true),
            (Some("traceidratio"), Some("0.5"), half, None, false),
            (Some("traceidratio"), Some("0.2"), tenth, caller(0), true),
            (Some("traceidratio"), Some("0"), 0, None, false),
            (Some("traceidratio"), Some("1"), most, None, true),
            (Some("traceidratio"), None, most, None, true),
            (Some("parentbased_traceidratio"), Some("0.05"), tenth, None, false),
            (Some("parentbased_traceidratio"), Some("0"), most, caller(1), true),
        ] {
            let mut problems = Vec::new();
            let sampler = Sampler::read(name, arg, &mut problems);
            assert_eq!(sampler.samples(trace, caller), expected, "{name:?} {arg:?} {trace:x} {caller:?}");
            assert!(problems.is_empty(), "{problems:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_reported() {
        for (name, arg) in [
            ("parentbased", None),
            ("jaeger_remote", None),
            ("ALWAYS_ON", None),
            ("traceidratio", Some("2")),
            ("traceidratio", Some("-0.1")),
            ("traceidratio", Some("NaN")),
            ("parentbased_traceidratio", Some("half")),
        ] {
            let mut problems = Vec::new();
            let sampler = Sampler::read(Some(name), arg, &mut problems);
            assert!(sampler.samples(u128::MAX, None), "{name}");
            assert_eq!(problems.len(), 1, "{name}: {problems:?}");
        }
    }
}
