//! One link that data make, and how it is found by its id.

use crate::derived::{Declared, Filed, Grant, Grants};
use crate::ids::{EntityId, TemplateIx};
use crate::model::Uid;
use crate::store::Records;

/// A link that a grant makes of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MadeLink {
    /// The grant.
    pub grant: Grant,
    /// The template's number.
    pub template: TemplateIx,
}

/// What it takes to read the id of a link.
pub(crate) struct Finding<'f, R> {
    /// The declarations.
    pub declared: &'f Declared,
    /// What they make.
    pub grants: &'f Grants,
    /// Of these entities.
    pub records: &'f R,
    /// The id of a uid.
    pub find: &'f dyn Fn(&Uid<'_>) -> Option<EntityId>,
    /// The number of the template of a name.
    pub number: &'f dyn Fn(&str) -> Option<TemplateIx>,
}

impl<R: Records> Finding<'_, R> {
    /// The link of an id, if data make it.
    pub(crate) fn link(&self, id: &str) -> Option<MadeLink> {
        // templates and entities may have the sign in their names
        id.match_indices('@').find_map(|(at, _)| {
            let name = id.get(..at)?;
            let template = (self.number)(name)?;
            self.declared.parts(id, name).find_map(|(declaration, text)| {
                let uid = Uid::parse(text).ok().filter(|uid| uid.to_string() == text)?;
                let entity = (self.find)(&uid)?;
                let grants = self.declared.grants(self.records, self.records.type_of_id(entity), entity).ok()?;
                let grant = grants.into_iter().find(|grant| grant.declaration == declaration.ix())?;
                let names = self.grants.templates(grant.declaration, grant.holder);
                names.binary_search(&template).is_ok().then_some(MadeLink { grant, template })
            })
        })
    }
}

impl MadeLink {
    /// That of a grant that is filed under the entity of a slot.
    pub(crate) fn filed(filed: &Filed, slots: [EntityId; 2], template: TemplateIx) -> Self {
        let Filed { entity, declaration, holder, .. } = *filed;
        Self { grant: Grant { declaration, entity, slots, holder }, template }
    }

    /// What the program of the template is run with.
    pub(crate) fn slots(&self) -> [EntityId; 2] {
        self.grant.slots
    }
}

impl From<Grant> for super::Maker {
    fn from(grant: Grant) -> Self {
        Self { declaration: grant.declaration, entity: grant.entity }
    }
}
