use super::*;
use crate::{
    audit::testing::{ROLE, Said, Scene, Who},
    event::Outcome,
};

const IMDS: EndpointKind = EndpointKind::Imds;
const NAMED: &str = "node_role: [{namespace: shop, service_account: web, reason: x}]";

fn injected() -> Scene {
    Scene::new().edit_pod("web", |pod| {
        let uri = "http://169.254.170.23/v1/credentials";
        pod.containers[0].env.container_credentials_full_uri = Some(uri.into());
    })
}

fn own_server() -> Scene {
    Scene::new().edit_pod("web", |pod| {
        let uri = "http://localhost:9911/credentials";
        pod.containers[0].env.container_credentials_full_uri = Some(uri.into());
    })
}

#[test]
fn at_the_connect_it_is_told() {
    let info = Said::Finds(Severity::Info);
    let scene = Scene::new();
    let named = Scene::new().policy(NAMED);
    let associated = Scene::new().associate("web");
    let blind = Scene::new().without_bindings();
    for (what, scene, who, endpoint, outcome, expected) in [
        (
            "no role",
            &scene,
            Who::Pod("web"),
            IMDS,
            Outcome::Established,
            info,
        ),
        (
            "own role",
            &associated,
            Who::Pod("web"),
            IMDS,
            Outcome::Established,
            info,
        ),
        (
            "role not known",
            &blind,
            Who::Pod("web"),
            IMDS,
            Outcome::Established,
            info,
        ),
        (
            "named",
            &named,
            Who::Pod("web"),
            IMDS,
            Outcome::Established,
            Said::Clear,
        ),
        (
            "other pod named",
            &named,
            Who::Pod("api"),
            IMDS,
            Outcome::Established,
            info,
        ),
        (
            "agent",
            &scene,
            Who::Pod("agent"),
            IMDS,
            Outcome::Established,
            Said::Clear,
        ),
        (
            "host",
            &scene,
            Who::Host,
            IMDS,
            Outcome::Established,
            Said::Clear,
        ),
        (
            "conflict",
            &scene,
            Who::Conflict,
            IMDS,
            Outcome::Established,
            Said::Clear,
        ),
        (
            "untold",
            &scene,
            Who::Unlisted("u"),
            IMDS,
            Outcome::Established,
            Said::Lacks(Input::Pod),
        ),
        (
            "unknown",
            &scene,
            Who::Unknown,
            IMDS,
            Outcome::Established,
            Said::Lacks(Input::Process),
        ),
        (
            "refused",
            &scene,
            Who::Pod("web"),
            IMDS,
            Outcome::Refused,
            Said::Clear,
        ),
        (
            "pending",
            &scene,
            Who::Pod("web"),
            IMDS,
            Outcome::Pending,
            Said::Clear,
        ),
        (
            "elsewhere",
            &scene,
            Who::Pod("web"),
            EndpointKind::Custom,
            Outcome::Established,
            Said::Clear,
        ),
    ] {
        let said = scene.connect(who, endpoint, outcome, node_role_fallback);
        assert_eq!(said, expected, "{what}");
    }
}

#[test]
fn at_the_close_the_bytes_decide() {
    let medium = Said::Finds(Severity::Medium);
    let associations = Said::Lacks(Input::Associations);
    let account = Said::Lacks(Input::ServiceAccount);
    for (what, scene, bytes, expected) in [
        ("associated", Scene::new().associate("web"), 1025, medium),
        (
            "a region look-up",
            Scene::new().associate("web"),
            1024,
            Said::Clear,
        ),
        (
            "annotated",
            Scene::new().annotate("web", ROLE),
            9999,
            medium,
        ),
        (
            "stamped for IRSA",
            Scene::new().env_role("web", ROLE),
            9999,
            medium,
        ),
        ("stamped for Pod Identity", injected(), 9999, medium),
        ("another credential server", own_server(), 9999, Said::Clear),
        (
            "named",
            Scene::new().associate("web").policy(NAMED),
            9999,
            Said::Clear,
        ),
        ("no role", Scene::new(), 9999, Said::Clear),
        (
            "associations not known",
            Scene::new().without_bindings(),
            9999,
            associations,
        ),
        (
            "associations too old",
            Scene::new().bindings_begun_at(-1, true),
            9999,
            associations,
        ),
        (
            "account not known",
            Scene::new().without_service_accounts(),
            9999,
            account,
        ),
        (
            "account too old",
            Scene::new().accounts_read_at(-1),
            9999,
            account,
        ),
        (
            "stamped, nothing else known",
            injected().without_bindings(),
            9999,
            medium,
        ),
        (
            "few bytes, nothing known",
            Scene::new().without_bindings(),
            1,
            Said::Clear,
        ),
    ] {
        let said = scene.close(Who::Pod("web"), IMDS, bytes, node_role_fallback_at_close);
        assert_eq!(said, expected, "{what}");
    }
    let no_agent = Scene::new().policy("agent: []");
    let said = no_agent.close(Who::Pod("agent"), IMDS, 9999, node_role_fallback_at_close);
    assert_eq!(said, account, "its ServiceAccount is not among those read");
    let scene = Scene::new().associate("web");
    for (who, endpoint, expected) in [
        (Who::Pod("web"), EndpointKind::PodIdentityAgent, Said::Clear),
        (Who::Pod("agent"), IMDS, Said::Clear),
        (Who::Host, IMDS, Said::Clear),
        (Who::Conflict, IMDS, Said::Clear),
        (Who::Unlisted("u"), IMDS, Said::Lacks(Input::Pod)),
        (Who::Unknown, IMDS, Said::Lacks(Input::Process)),
    ] {
        let said = scene.close(who, endpoint, 9999, node_role_fallback_at_close);
        assert_eq!(said, expected, "{who:?} {endpoint:?}");
    }
}
