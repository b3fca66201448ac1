//! Roles from what `aws iam get-role` and its like print.

use super::{json::Json, trust_policy::TrustPolicy};

#[derive(Clone, Debug)]
pub struct Role {
    pub arn: String,
    /// `AROA…`; a trust policy names it so once the role is deleted.
    pub id: Option<String>,
    /// Or why IAM would not take it.
    pub policy: Result<TrustPolicy, String>,
    /// The file that told of it.
    pub file: String,
}

/// `{"Role":{…}}` of `get-role`, `{"Roles":[…]}` of `list-roles`, `{"RoleDetailList":[…]}` of
/// `get-account-authorization-details`, a role itself, arrays of these, and several of them on end.
///
/// # Errors
/// When it is no JSON, or something that is no role; the message names the place.
pub fn parse(bytes: &[u8], file: &str) -> Result<Vec<Role>, String> {
    let mut roles = Vec::new();
    let mut documents = serde_json::Deserializer::from_slice(bytes).into_iter::<Json>();
    let mut count = 0;
    for document in &mut documents {
        let document = document.map_err(|error| format!("is no JSON: {error}"))?;
        collect(&document, file, &mut roles)?;
        count += 1;
    }
    if count == 0 {
        return Err(
            "is empty; expected what `aws iam get-role --role-name NAME` prints".to_owned(),
        );
    }
    Ok(roles)
}

fn collect(json: &Json, file: &str, roles: &mut Vec<Role>) -> Result<(), String> {
    match json {
        Json::Array(items) => items.iter().try_for_each(|item| collect(item, file, roles)),
        Json::Object(_) => {
            let wrapped = ["Role", "Roles", "RoleDetailList"]
                .iter()
                .find_map(|name| json.get(name));
            match wrapped {
                Some(inner) => collect(inner, file, roles),
                None => {
                    roles.push(role(json, file)?);
                    Ok(())
                }
            }
        }
        _ => Err("holds something that is no role".to_owned()),
    }
}

fn role(json: &Json, file: &str) -> Result<Role, String> {
    let text = |name: &str| json.get(name).and_then(Json::text).map(str::to_owned);
    let Some(arn) = text("Arn") else {
        let hint = match json.get("Statement") {
            Some(_) => {
                "it is a policy without its role, whose ARN and account count: save what `aws iam get-role` prints"
            }
            None => "expected what `aws iam get-role` prints",
        };
        return Err(format!("holds an object without Arn: {hint}"));
    };
    let Some(document) = json.get("AssumeRolePolicyDocument") else {
        return Err(format!("{arn} has no AssumeRolePolicyDocument"));
    };
    Ok(Role {
        arn,
        id: text("RoleId"),
        policy: TrustPolicy::read(document),
        file: file.to_owned(),
    })
}

#[cfg(test)]
mod tests;
