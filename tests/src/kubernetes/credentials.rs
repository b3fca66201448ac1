//! Keys and certificates of the lab's own, by openssl: a CA, the server's certificate, the key that signs tokens.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

pub struct Credentials {
    dir: PathBuf,
}

impl Credentials {
    pub fn make(dir: &Path) -> Result<Self> {
        fs::create_dir(dir)?;
        let this = Self {
            dir: dir.to_owned(),
        };
        let key = ["-newkey", "rsa:2048", "-nodes"];
        this.openssl(
            &["req", "-x509", "-days", "2", "-subj", "/CN=the lab"],
            &key,
            &["-keyout", "ca.key", "-out", "ca.crt"],
        )?;
        this.openssl(
            &["req", "-subj", "/CN=kube-apiserver"],
            &key,
            &["-keyout", "server.key", "-out", "server.csr"],
        )?;
        fs::write(
            this.file("server.ext"),
            "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1\n",
        )?;
        this.openssl(
            &["x509", "-req", "-days", "2", "-in", "server.csr"],
            &["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"],
            &["-extfile", "server.ext", "-out", "server.crt"],
        )?;
        this.openssl(&["genrsa"], &["-out", "signing.key"], &["2048"])?;
        this.openssl(
            &["rsa", "-in", "signing.key"],
            &["-pubout"],
            &["-out", "signing.pub"],
        )?;
        Ok(this)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn openssl(&self, words: &[&str], more: &[&str], output: &[&str]) -> Result<()> {
        let mut command = Command::new("openssl");
        command.current_dir(&self.dir);
        command.args(words).args(more).args(output);
        let output = command
            .output()
            .context("start openssl (apt-get install -y openssl)")?;
        ensure!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

/// What client programs are told.
pub fn kubeconfig(url: &str, ca: &Path, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: lab\n\
         clusters: [{{name: lab, cluster: {{server: \"{url}\", certificate-authority: \"{}\"}}}}]\n\
         users: [{{name: auditor, user: {{token: \"{token}\"}}}}]\n\
         contexts: [{{name: lab, context: {{cluster: lab, user: auditor}}}}]\n",
        ca.display()
    )
}
