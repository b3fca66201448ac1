//! A pod of several containers as the API server returns it, with the statuses that the kubelet has reported.

use serde_json::{Value, json};

use super::pod::{ContainerSpec, Instance, RealPod, Role};
use crate::node::pod_object;

/// The pod with its statuses as of now.
pub fn object(pod: &RealPod) -> Value {
    let mut object = pod_object(&pod.pod.spec, &pod.ip, pod.created);
    // What the lab's one container has, each that gets volumes has.
    let template = object["spec"]["containers"][0].take();
    let template_status = object["status"]["containerStatuses"][0].take();
    let of = |wanted: fn(Role) -> bool| pod.containers.iter().filter(move |c| wanted(c.role));
    for (field, status_field, wanted) in [
        (
            "initContainers",
            "initContainerStatuses",
            (|role| matches!(role, Role::Init | Role::Sidecar)) as fn(Role) -> bool,
        ),
        ("containers", "containerStatuses", |role| role == Role::Main),
        (
            "ephemeralContainers",
            "ephemeralContainerStatuses",
            |role| matches!(role, Role::Ephemeral { .. }),
        ),
    ] {
        let specs: Vec<Value> = of(wanted).map(|c| container(&template, c)).collect();
        if specs.is_empty() {
            continue;
        }
        let statuses: Vec<Value> = of(wanted)
            .map(|c| status(&template_status, c, pod.instances.get(c.name)))
            .collect();
        object["spec"][field] = specs.into();
        object["status"][status_field] = statuses.into();
    }
    object
}

fn container(template: &Value, spec: &ContainerSpec) -> Value {
    let mut container = template.clone();
    container["name"] = spec.name.into();
    container["image"] = spec.image.into();
    container["command"] = spec.argv.clone().into();
    if let Some(mounts) = container["volumeMounts"].as_array_mut() {
        mounts.extend(
            spec.sub_paths
                .iter()
                .map(|s| json!({"mountPath": s.target, "name": s.volume, "subPath": s.file})),
        );
    }
    if let Some(command) = &spec.liveness_probe {
        container["livenessProbe"] = json!({"exec": {"command": command}, "periodSeconds": 10});
    }
    match spec.role {
        Role::Sidecar => container["restartPolicy"] = "Always".into(),
        Role::Ephemeral { target } => {
            container["volumeMounts"] = json!([]);
            container["env"] = json!([]);
            container["targetContainerName"] = target.into();
        }
        Role::Init | Role::Main => {}
    }
    container
}

fn status(template: &Value, spec: &ContainerSpec, instance: Option<&Instance>) -> Value {
    let mut status = template.clone();
    status["name"] = spec.name.into();
    status["image"] = spec.image.into();
    let Some(instance) = instance else {
        // As the kubelet reports a container that it has not started.
        status["containerID"] = "".into();
        status["started"] = false.into();
        status["ready"] = false.into();
        status["state"] = json!({"waiting": {"reason": "ContainerCreating"}});
        return status;
    };
    let id = format!("containerd://{}", instance.id);
    let ended = |id: &str| {
        json!({"terminated": {"containerID": id, "exitCode": 0, "reason": "Completed",
            "startedAt": template["state"]["running"]["startedAt"], "finishedAt": template["state"]["running"]["startedAt"]}})
    };
    if instance.ended {
        status["state"] = ended(&id);
        status["ready"] = (spec.role == Role::Init).into();
        status["started"] = false.into();
    }
    status["containerID"] = id.into();
    if let Some(previous) = &instance.previous {
        status["lastState"] = ended(&format!("containerd://{previous}"));
        status["restartCount"] = 1.into();
    }
    status
}
