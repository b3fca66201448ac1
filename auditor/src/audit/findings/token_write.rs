//! `token-write`

use crate::{
    audit::{
        OpenCase,
        ruling::{Input, Ruling},
    },
    event::Severity,
};

/// A token is opened for writing. Only the kubelet does that rightly, and it never comes this far.
pub fn token_write(case: &OpenCase<'_>) -> Ruling {
    if !case.for_write {
        return Ruling::Clear;
    }
    if case.token.owner.is_none() {
        return Ruling::Lacks(Input::Owner);
    }
    let (actor, owner) = (case.describe_actor(), case.describe_owner());
    Ruling::finding(
        Severity::High,
        format!("{actor} opened the token of {owner} for writing"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::testing::{Said, Scene, Who, Whose},
        event::TokenKind,
    };

    #[test]
    fn cases() {
        let reading = Scene::new();
        let writing = Scene::new().edit(|s| s.for_write = true);
        let high = Said::Finds(Severity::High);
        let web = Whose::Pod("web");
        for (scene, who, whose, expected) in [
            (&writing, Who::Pod("web"), web, high),
            (&writing, Who::Pod("api"), web, high),
            (&writing, Who::Host, web, high),
            (&writing, Who::Conflict, web, high),
            (&writing, Who::Unknown, web, high),
            (&writing, Who::Host, Whose::Untold("u"), high),
            (
                &writing,
                Who::Host,
                Whose::Nobody,
                Said::Lacks(Input::Owner),
            ),
            (&reading, Who::Pod("web"), web, Said::Clear),
            (&reading, Who::Host, Whose::Nobody, Said::Clear),
        ] {
            let said = scene.open(who, whose, TokenKind::ServiceAccount, token_write);
            assert_eq!(said, expected, "{who:?} {whose:?} {}", scene.for_write);
        }
    }
}
