//! The daemon's side: answers those who ask over the socket, none of whom can hold it up.
//!
//! A conversation is one line each way. It runs in a task of its own, for [`PATIENCE`] at most; only the answer's making is the
//! daemon's ([`Control::asked`]), which then goes on.

use std::{
    collections::VecDeque,
    fs, io,
    os::unix::net::UnixListener as StdListener,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{Status, socket};
use crate::event::Health;

/// For a conversation as a whole.
const PATIENCE: Duration = Duration::from_secs(5);
/// At once; one more ends the oldest.
const MAX_CONVERSATIONS: usize = 8;
/// The longest request.
const REQUEST: usize = 64;
/// After an accept that failed, as without free descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Served until it is dropped.
pub struct Control {
    questions: Option<mpsc::Receiver<Question>>,
    serving: Option<(PathBuf, JoinHandle<()>)>,
}

/// Somebody wants to know.
pub struct Question {
    answer: oneshot::Sender<Vec<u8>>,
}

impl Question {
    /// Who asked may be gone.
    pub fn answer(self, status: &Status) {
        let text = serde_json::to_vec(status).unwrap_or_else(|error| refusal(&error.to_string()));
        let _ = self.answer.send(text);
    }
}

impl Control {
    /// Serves in the state directory, whose lock this process holds; without one nobody can ask. Where it cannot be served, the
    /// reason is to be told, and nothing else suffers. Needs a tokio runtime.
    #[must_use]
    pub fn start(state_dir: Option<&Path>) -> (Self, Option<Health>) {
        let none = Self {
            questions: None,
            serving: None,
        };
        let Some(state_dir) = state_dir else {
            return (none, None);
        };
        let listener = socket::listener(state_dir)
            .and_then(|socket| UnixListener::from_std(StdListener::from(socket)));
        match listener {
            Ok(listener) => {
                let (sender, questions) = mpsc::channel(MAX_CONVERSATIONS);
                let serving = tokio::spawn(serve(listener, sender, PATIENCE));
                let this = Self {
                    questions: Some(questions),
                    serving: Some((socket::path(state_dir), serving)),
                };
                (this, None)
            }
            Err(error) => {
                let path = socket::path(state_dir);
                let health = Health {
                    component: "auditor".to_owned(),
                    state: "degraded".to_owned(),
                    message: format!(
                        "`auditor status` will not be answered: {}: {error}",
                        path.display()
                    ),
                };
                (none, Some(health))
            }
        }
    }

    /// The next question; never, where nobody can ask. Nothing is lost where it is not awaited to its end.
    pub async fn asked(&mut self) -> Option<Question> {
        match &mut self.questions {
            Some(questions) => questions.recv().await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Some((path, serving)) = self.serving.take() {
            serving.abort();
            // The next run replaces it where it stays.
            let _ = fs::remove_file(path);
        }
    }
}

async fn serve(listener: UnixListener, questions: mpsc::Sender<Question>, patience: Duration) {
    let mut conversations: VecDeque<JoinHandle<()>> = VecDeque::with_capacity(MAX_CONVERSATIONS);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "control socket: accept failed");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        conversations.retain(|conversation| !conversation.is_finished());
        if conversations.len() >= MAX_CONVERSATIONS
            && let Some(oldest) = conversations.pop_front()
        {
            oldest.abort();
        }
        let conversation = timeout(patience, converse(stream, questions.clone()));
        conversations.push_back(tokio::spawn(async {
            // What goes wrong there is the other side's affair.
            let _ = conversation.await;
        }));
    }
}

async fn converse(mut stream: UnixStream, questions: mpsc::Sender<Question>) -> io::Result<()> {
    // Read first: who hangs up on what was not read breaks the answer off.
    let request = request(&mut stream).await?;
    let answer = match refused(&stream) {
        Some(why) => refusal(&why),
        None if request == b"status" => ask(&questions).await,
        None => refusal("it was asked for something else than `status`"),
    };
    stream.write_all(&answer).await?;
    stream.write_all(b"\n").await?;
    stream.shutdown().await
}

/// The file's mode lets nobody else in; who made it accessible all the same did not mean this.
fn refused(stream: &UnixStream) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 || peer.uid() == own => None,
        Ok(peer) => Some(format!(
            "user {} may not ask: only root, and user {own}",
            peer.uid()
        )),
        Err(error) => Some(format!("who asks is not known: {error}")),
    }
}

/// The first line, as far as it may be long.
async fn request(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    while line.len() < REQUEST {
        match stream.read_u8().await {
            Ok(b'\n') => break,
            Ok(byte) => line.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    Ok(line)
}

async fn ask(questions: &mpsc::Sender<Question>) -> Vec<u8> {
    let (answer, answered) = oneshot::channel();
    if questions.try_send(Question { answer }).is_err() {
        return refusal("too many ask at once");
    }
    answered.await.unwrap_or_else(|_| refusal("it is stopping"))
}

fn refusal(why: &str) -> Vec<u8> {
    json!({ "error": why }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::{fs::PermissionsExt as _, net::UnixStream as Client},
        thread,
        time::Instant,
    };

    use super::*;

    /// A daemon that answers with `answer` while `clients` do what they like.
    fn served(answer: Vec<u8>, patience: Duration, clients: impl FnOnce(&Path)) {
        let dir = tempfile::tempdir().unwrap();
        let path = socket::path(dir.path());
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let state_dir = dir.path().to_owned();
        let daemon = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let socket = socket::listener(&state_dir).unwrap();
                let listener = UnixListener::from_std(StdListener::from(socket)).unwrap();
                ready.send(()).unwrap();
                let (sender, mut questions) = mpsc::channel::<Question>(MAX_CONVERSATIONS);
                let answering = async {
                    while let Some(question) = questions.recv().await {
                        let _ = question.answer.send(answer.clone());
                    }
                };
                tokio::select! {
                    () = serve(listener, sender, patience) => {}
                    () = answering => {}
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv().unwrap();
        clients(&path);
        stop.send(()).unwrap();
        daemon.join().unwrap();
    }

    fn ask_at(path: &Path, request: &[u8]) -> String {
        let mut stream = Client::connect(path).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_is_for_its_own_user_and_answers_what_it_knows() {
        served(b"{}".to_vec(), PATIENCE, |path| {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            assert_eq!(ask_at(path, b"status\n"), "{}\n");
            for request in [&b"reboot\n"[..], &[b'x'; 10 * REQUEST]] {
                // Ours may still be in flight when it hangs up.
                let mut stream = Client::connect(path).unwrap();
                let _ = stream.write_all(request);
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer);
                let answer = String::from_utf8(answer).unwrap();
                assert!(answer.contains("something else"), "{answer}");
            }
        });
    }

    #[test]
    fn those_who_say_nothing_or_never_read_hold_nobody_up_and_are_let_go() {
        let patience = Duration::from_secs(2);
        // More than a socket's buffers take.
        served(vec![b'x'; 8 << 20], patience, |path| {
            let silent: Vec<_> = (0..20).map(|_| Client::connect(path).unwrap()).collect();
            let deaf: Vec<_> = (0..20)
                .map(|_| {
                    let mut client = Client::connect(path).unwrap();
                    let _ = client.write_all(b"status\n");
                    client
                })
                .collect();
            let begun = Instant::now();
            assert_eq!(ask_at(path, b"status\n").len(), (8 << 20) + 1);
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "{:?}",
                begun.elapsed()
            );
            // Hung up on, in time.
            for mut client in silent.into_iter().chain(deaf) {
                client
                    .set_read_timeout(Some(Duration::from_secs(10)))
                    .unwrap();
                let mut rest = Vec::new();
                match client.read_to_end(&mut rest) {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
                }
            }
        });
    }

    #[test]
    fn the_socket_of_a_killed_run_is_replaced_and_that_of_a_stopped_one_is_gone() {
        // Longer than unix(7) allows for an address.
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(120));
        fs::create_dir(&long).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            fs::write(socket::path(&long), "").unwrap();
            let (control, trouble) = Control::start(Some(&long));
            assert!(trouble.is_none(), "{trouble:?}");
            assert!(socket::path(&long).exists());
            socket::connection(&long, PATIENCE).unwrap();
            drop(control);
            assert!(!socket::path(&long).exists());
            let (_, trouble) = Control::start(Some(&dir.path().join("none")));
            assert!(trouble.unwrap().message.contains("control.sock"));
        });
    }
}
