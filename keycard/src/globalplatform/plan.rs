//! Which files make a Keycard, and in which order they are loaded.

use crate::globalplatform::aid::{self, Aid};
use crate::globalplatform::cap::Cap;

/// The packages of a Keycard, those that others build upon first.
#[derive(Debug)]
pub struct Plan {
    packages: Vec<Cap>,
}

/// Why these files make no Keycard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There is no Keycard among them.
    #[error("none of these files is the Keycard package (a0000008040001)")]
    NoKeycard,
    /// Something else is among them.
    #[error("the package {package} is no part of a Keycard")]
    Foreign {
        /// Its name.
        package: Aid,
    },
    /// One of them is there twice.
    #[error("the package {package} is given twice")]
    Twice {
        /// Its name.
        package: Aid,
    },
    /// One builds upon another that is not there.
    #[error("the Keycard package builds upon the package {package}: give that file too (applet 4.0: math.cap)")]
    Missing {
        /// The name of the one that is not there.
        package: Aid,
    },
}

impl Plan {
    /// Puts the files in order.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn new(files: Vec<Cap>) -> Result<Self, PlanError> {
        let (mut math, mut keycard) = (None, None);
        for file in files {
            let package = file.package().clone();
            let room = if package.is(aid::MATH) {
                &mut math
            } else if package.is(aid::PACKAGE) {
                &mut keycard
            } else {
                return Err(PlanError::Foreign { package });
            };
            if room.replace(file).is_some() {
                return Err(PlanError::Twice { package });
            }
        }
        let keycard = keycard.ok_or(PlanError::NoKeycard)?;
        if !keycard.applets().iter().any(|applet| applet.is(aid::KEYCARD.0)) {
            return Err(PlanError::NoKeycard);
        }
        if let (None, Some(package)) = (&math, math_of(&keycard)) {
            return Err(PlanError::Missing { package: package.clone() });
        }
        Ok(Self { packages: math.into_iter().chain([keycard]).collect() })
    }

    /// Returns the packages in the order in which they are loaded.
    #[must_use]
    pub fn packages(&self) -> &[Cap] {
        &self.packages
    }

    /// Returns whether the card answers nothing until it has an identity: applet 4.0, which alone builds upon the package
    /// of arithmetic.
    #[must_use]
    pub fn needs_identity(&self) -> bool {
        self.packages.iter().any(|package| math_of(package).is_some())
    }

    /// Returns whether the card can take an identity: applet 3.1 and later.
    #[must_use]
    pub fn takes_identity(&self) -> bool {
        self.packages.iter().flat_map(Cap::applets).any(|applet| applet.is(aid::IDENT.0))
    }
}

fn math_of(package: &Cap) -> Option<&Aid> {
    package.imports().iter().find(|import| import.is(aid::MATH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::globalplatform::cap::synthetic::{components, file};

    fn cap(package: &[u8], applets: &[&[u8]], imports: &[&[u8]]) -> Cap {
        Cap::parse(&file(&components(package, applets, imports, 100), true)).unwrap()
    }

    fn keycard_4() -> Cap {
        cap(aid::PACKAGE, &[aid::KEYCARD.0, aid::IDENT.0], &[aid::MATH])
    }

    fn math() -> Cap {
        cap(aid::MATH, &[], &[])
    }

    #[test]
    fn what_others_build_upon_comes_first() {
        let plan = Plan::new(vec![keycard_4(), math()]).unwrap();
        let order: Vec<_> = plan.packages().iter().map(|package| package.package().to_string()).collect();
        assert_eq!(order, ["a0000008040002", "a0000008040001"]);
        assert!(plan.needs_identity() && plan.takes_identity());
    }

    #[test]
    fn an_applet_of_3_x_needs_neither_arithmetic_nor_identity() {
        let plan = Plan::new(vec![cap(aid::PACKAGE, &[aid::KEYCARD.0, aid::IDENT.0], &[])]).unwrap();
        assert!(!plan.needs_identity() && plan.takes_identity());
        let plan = Plan::new(vec![cap(aid::PACKAGE, &[aid::KEYCARD.0], &[])]).unwrap();
        assert!(!plan.takes_identity());
    }

    #[test]
    fn files_that_make_no_keycard_are_refused() {
        let error = |files| Plan::new(files).unwrap_err().to_string();
        assert!(error(vec![]).contains("none of these"));
        assert!(error(vec![math()]).contains("none of these"));
        assert!(error(vec![cap(aid::PACKAGE, &[aid::IDENT.0], &[])]).contains("none of these"));
        assert!(error(vec![keycard_4()]).contains("builds upon the package a0000008040002"));
        assert!(error(vec![keycard_4(), math(), math()]).contains("given twice"));
        assert!(error(vec![keycard_4(), cap(&[0xA0, 0, 0, 0, 3], &[], &[])]).contains("a000000003 is no part"));
    }
}
