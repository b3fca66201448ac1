//! How bindings name roles, and how they do not.

use super::{
    arn::{NoRoleArn, RoleArn},
    finding::{Id, Remark},
    trust_policy::clip,
};

/// A role's ARN of this partition; null where that is not known.
///
/// # Errors
/// What is wrong with it.
pub fn read(written: &str, partition: Option<&str>) -> Result<RoleArn, Remark> {
    let shown = clip(written);
    let arn = RoleArn::parse(written).map_err(|why| match why {
        NoRoleArn::Surrounded(inner) => Remark::new(
            Id::RoleArnSurrounded,
            format!("{shown:?} has white space or quotes around the ARN, and is used as it is"),
            format!("write {inner}"),
        ),
        NoRoleArn::Name => Remark::new(
            Id::RoleArnNameOnly,
            format!("{shown:?} is a role's name, not its ARN"),
            "write the whole ARN (aws iam get-role --query Role.Arn)",
        ),
        NoRoleArn::Malformed(what) => Remark::new(
            Id::RoleArnMalformed,
            format!("{shown:?} is not the ARN of a role: {what}"),
            "write arn:PARTITION:iam::ACCOUNT:role/NAME (aws iam get-role --query Role.Arn)",
        ),
    })?;
    match partition {
        Some(own) if own != arn.partition => Err(Remark::new(
            Id::RoleArnWrongPartition,
            format!(
                "{arn} is of partition {}, the cluster of {own}; no role is assumed over that border",
                arn.partition
            ),
            format!("write arn:{own}:…, with an account of that partition"),
        )),
        _ => Ok(arn),
    }
}

/// `written` is not the ARN of the role that has this name in its account.
pub fn another(written: &RoleArn, role: &RoleArn) -> Option<Remark> {
    if written.partition != role.partition {
        return Some(Remark::new(
            Id::RoleArnWrongPartition,
            format!("{written} does not exist; the role is {role}"),
            format!("write {role}"),
        ));
    }
    if written.name != role.name {
        return Some(Remark::new(
            Id::RoleNameCaseMismatch,
            format!(
                "{written} does not exist; the account has {role}, and IAM allows no second name that differs by case alone"
            ),
            format!("write {role}"),
        ));
    }
    (written.path != role.path).then(|| {
        Remark::new(
            Id::RolePathMismatch,
            format!(
                "{written} does not exist; the role of that name has the path {} and is {role}",
                role.path
            ),
            format!("write {role}"),
        )
    })
}
