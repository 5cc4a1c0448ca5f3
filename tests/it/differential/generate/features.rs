//! What generated policies are made of, so that a run can show that it reached everything.

macro_rules! features {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// A construct of the policy language, or a property of its operands.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Feature { $(#[doc = $text] $name),* }

        /// All of them, with what they are called in reports.
        pub(crate) const FEATURES: &[(Feature, &str)] = &[$((Feature::$name, $text)),*];
    };
}

features! {
    Permit = "permit", Forbid = "forbid", Template = "template link", LinkedByName = "link of a template by its @id", When = "when", Unless = "unless", NoCondition = "no condition",
    PrincipalAny = "principal", PrincipalEq = "principal ==", PrincipalIn = "principal in", PrincipalIs = "principal is", PrincipalIsIn = "principal is .. in",
    ResourceAny = "resource", ResourceEq = "resource ==", ResourceIn = "resource in", ResourceIs = "resource is", ResourceIsIn = "resource is .. in",
    ActionAny = "action", ActionEq = "action ==", ActionIn = "action in", ActionInList = "action in [..]", ActionInNone = "action in []",
    Bool = "true, false", Long = "long literal", Extreme = "long beyond 59 bits", Text = "string literal", Escape = "string with escapes",
    EntityLiteral = "entity literal", SetLiteral = "set", EmptySet = "empty set", MixedSet = "set of mixed types", RecordLiteral = "record",
    Principal = "principal variable", Action = "action variable", Resource = "resource variable", Context = "context variable", Now = "context.now",
    If = "if", And = "&&", Or = "||", Not = "!", Neg = "unary -", Eq = "==", Ne = "!=", Less = "<", LessEq = "<=", Greater = ">", GreaterEq = ">=",
    Add = "+", Sub = "-", Mul = "*", In = "in entity", InSet = "in set", InMixed = "in set with others", Is = "is", IsIn = "is .. in",
    Contains = "contains", ContainsAll = "containsAll", ContainsAny = "containsAny", IsEmpty = "isEmpty", EqualSets = "set compared with a set",
    Attribute = "x.a", AttributeIndex = "x[\"a\"]", Hop = "attribute of an attribute", Has = "has a", HasQuoted = "has \"a\"", HasPath = "has a.b",
    GetTag = "getTag", HasTag = "hasTag", ComputedTag = "tag by computed key", Like = "like", LikeEscape = "like with escaped *", LikeWild = "like with *",
    Ip = "ip", BadIp = "ip of bad text", IsIpv4 = "isIpv4", IsIpv6 = "isIpv6", IsLoopback = "isLoopback", IsMulticast = "isMulticast", IsInRange = "isInRange",
    Decimal = "decimal", BadDecimal = "decimal of bad text", DecimalLess = "lessThan", DecimalLessEq = "lessThanOrEqual", DecimalGreater = "greaterThan", DecimalGreaterEq = "greaterThanOrEqual",
    Datetime = "datetime", BadDatetime = "datetime of bad text", Offset = "offset", DurationSince = "durationSince", ToDate = "toDate", ToTime = "toTime",
    Duration = "duration", BadDuration = "duration of bad text", ToMilliseconds = "toMilliseconds", ToSeconds = "toSeconds", ToMinutes = "toMinutes", ToHours = "toHours", ToDays = "toDays",
    ComputedCall = "constructor of computed text", IllTyped = "ill-typed operand", Hidden = "error behind a short circuit", Chain = "chain of many terms",
}

/// A set of features.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Features(pub u128);

impl Features {
    /// Adds one.
    pub(crate) fn add(&mut self, feature: Feature) {
        self.0 |= 1 << feature as u8;
    }

    /// Whether it has one.
    pub(crate) fn has(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u8) != 0
    }

    /// Adds those of another.
    pub(crate) fn join(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

const _: () = assert!(FEATURES.len() <= 128);
