//! Numbers by what they number. One is never another: an entity is no type, and no position in a list.
//!
//! Each is a `u32` to the machine. What keeps them in bytes, or packs two into one word, says so by `raw` and `from_raw`.

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub(crate) struct $name(u32);

        impl $name {
            /// That of a number which was given out as one, or was kept as one.
            #[inline(always)]
            pub(crate) const fn from_raw(number: u32) -> Self {
                Self(number)
            }

            /// The place in a list that has one for each of them.
            #[inline(always)]
            pub(crate) const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

numbers! {
    /// An entity, stored or merely named, by where its record lies in a store.
    EntityId

    /// A type of entities, by the place of its name among those of a store.
    TypeId

    /// The name of an attribute, by its place among those of a store.
    NameId

    /// A policy or link that can decide, by its position in the compiled set. That of one which is gone is another's later.
    /// A link that data make has none there, and gets one in each request in which it runs.
    PolicyIx

    /// A template, by the number that the compiled set gives its name, for as long as there is one of the name.
    TemplateIx

    /// A declaration of links that data make, by its position among those of the bundle.
    DeclarationIx

    /// A compiled condition, by its position among those of the compiled set.
    ProgramIx

    /// A link that was written, by its position among the links of a state.
    LinkIx
}

/// Those that are kept in bytes, or two in one word.
macro_rules! packed {
    ($($name:ident)*) => {$(
        impl $name {
            /// The number.
            #[inline(always)]
            pub(crate) const fn raw(self) -> u32 {
                self.0
            }
        }
    )*};
}

packed! { EntityId TypeId NameId PolicyIx DeclarationIx }

/// Those that are given out one after another.
macro_rules! listed {
    ($($name:ident)*) => {$(
        impl $name {
            /// That of what comes behind so many others; nothing if there are more than have numbers.
            #[inline]
            pub(crate) fn next(others: usize) -> Option<Self> {
                u32::try_from(others).ok().map(Self::from_raw)
            }
        }
    )*};
}

listed! { PolicyIx ProgramIx LinkIx }

/// Numbers from here on are given out for one request only, and mean something else in the next.
const LOCAL: u32 = 1 << 31;

/// Those that a request may have of its own, for what it names and the store or the set does not.
macro_rules! also_of_requests {
    ($($name:ident)*) => {$(
        impl $name {
            /// That of something by its place among those of the request.
            #[inline]
            pub(crate) const fn local(place: u32) -> Self {
                Self(LOCAL | place)
            }

            /// Whether it is of one request only.
            #[inline(always)]
            pub(crate) const fn is_local(self) -> bool {
                self.0 >= LOCAL
            }

            /// Its place among those of the request, if it is of one.
            #[inline(always)]
            pub(crate) const fn local_index(self) -> usize {
                (self.0 & !LOCAL) as usize
            }
        }
    )*};
}

also_of_requests! { EntityId TypeId NameId PolicyIx }

impl EntityId {
    /// The id of no entity.
    pub(crate) const NONE: Self = Self(u32::MAX);
}
