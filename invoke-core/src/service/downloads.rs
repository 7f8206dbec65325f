//! Archives of pictures: asked for, made in the background, fetched once.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::{Arc, Weak, mpsc},
    thread,
};

use parking_lot::Mutex;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{Shared, images::distinct};
use crate::{
    authz::{Actor, Powers, Scope, Sealed, acts, authorize, authorize_global},
    domain::{BoardId, Error, ImageName, Result, UserId, download::Download, image::Image},
    env::Timestamp,
    events::{BulkDownload, Event},
    files::StoredFile,
    repo::{
        boards,
        gallery::{self, ImageFilter, OnBoard},
        images,
    },
};

/// Archives that may wait to be made; who asks for more has to wait.
const QUEUE: usize = 64;
/// Archives that somebody may leave unfetched; the oldest one goes then.
const UNFETCHED: usize = 8;
/// How long an archive waits to be fetched.
const KEPT_MS: i64 = 86_400_000;

/// Use of archives.
#[derive(Clone)]
pub struct Downloads {
    shared: Arc<Shared>,
    inner: Arc<Inner>,
}

/// Archives asked for, by the names they are fetched by. They do not outlive the program.
struct Inner {
    known: Mutex<HashMap<String, Entry>>,
    orders: mpsc::SyncSender<Order>,
}

struct Entry {
    owner: Download,
    path: PathBuf,
    ordered: Timestamp,
    ready: bool,
}

/// An archive to be made.
struct Order {
    item_name: String,
    path: PathBuf,
    owner: Download,
    pictures: Vec<(String, ImageName, String)>,
    /// Whether there are all that were asked for.
    complete: bool,
}

/// An archive that is gone once it has been read from its beginning to its end. Whoever read a part of it may ask again.
struct Once {
    file: File,
    item_name: String,
    inner: Weak<Inner>,
    len: u64,
    /// Bytes read since the beginning; `None` once something was left out.
    read: Option<u64>,
}

impl Read for Once {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.read = self.read.map(|read| read + n as u64);
        Ok(n)
    }
}

impl Seek for Once {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = self.file.seek(to)?;
        self.read = (at == 0).then_some(0);
        Ok(at)
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        if self.read == Some(self.len)
            && let Some(inner) = self.inner.upgrade()
        {
            inner.forget(&self.item_name);
        }
    }
}

impl Inner {
    /// Forgets an archive and removes its file.
    fn forget(&self, item_name: &str) {
        let Some(entry) = self.known.lock().remove(item_name) else { return };
        if let Err(error) = fs::remove_file(&entry.path)
            && entry.ready
        {
            tracing::warn!("an archive cannot be removed: {error}");
        }
    }

    /// Forgets archives that nobody has fetched for long, and somebody's oldest ones if they have too many.
    fn forget_old(&self, whose: &UserId, now: Timestamp) {
        let mut old: Vec<String> = Vec::new();
        let mut own: Vec<(Timestamp, String)> = Vec::new();
        for (name, entry) in self.known.lock().iter().filter(|(_, entry)| entry.ready) {
            if now.millis() - entry.ordered.millis() > KEPT_MS {
                old.push(name.clone());
            } else if &entry.owner.user_id == whose {
                own.push((entry.ordered, name.clone()));
            }
        }
        own.sort_unstable();
        let too_many = own.len().saturating_sub(UNFETCHED - 1);
        old.extend(own.into_iter().take(too_many).map(|(_, name)| name));
        old.iter().for_each(|name| self.forget(name));
    }
}

impl Downloads {
    /// The archives of a core. What an earlier run left behind is removed. Archives are made one at a time, on a thread of their own that
    /// ends with the last handle.
    pub fn new(shared: Arc<Shared>) -> Result<Self> {
        let folder = shared.layout.downloads_dir();
        fs::create_dir_all(&folder)?;
        for left in fs::read_dir(&folder)? {
            fs::remove_file(left?.path())?;
        }
        let (orders, incoming) = mpsc::sync_channel::<Order>(QUEUE);
        let inner = Arc::new(Inner {
            known: Mutex::default(),
            orders,
        });
        let (of_thread, state) = (Arc::clone(&shared), Arc::downgrade(&inner));
        thread::Builder::new().name("downloads".into()).spawn(move || {
            for order in incoming {
                make(&of_thread, &state, order);
            }
        })?;
        Ok(Self { shared, inner })
    }

    /// Orders an archive of a board's pictures or of named ones, all of which the caller must be allowed to see, and returns the name to
    /// fetch it by. A board wins over names. Administrators learn later that a name is nobody's: their archive is not made.
    pub fn order(&self, actor: &Actor, names: &[String], board: Option<&str>) -> Result<String> {
        authorize_global::<acts::UseServer>(actor)?;
        if names.is_empty() && board.is_none() {
            return Err(Error::BadRequest("No images or board id specified.".into()));
        }
        let id = self.shared.env.uuid();
        let mut complete = true;
        let (stem, pictures) = match board {
            Some("none") if !actor.is_admin() => return Err(Error::NotFound("Board not found".into())),
            Some(board) => self.of_board(actor, board)?,
            None => {
                let found = self.named(actor, names)?;
                complete = found.iter().all(Option::is_some);
                (String::new(), found.into_iter().flatten().collect())
            }
        };
        self.shared.maintenance.refuse_if_active()?;
        let item_id = if stem.is_empty() { id } else { format!("{stem}_{id}") };
        let item_name = format!("{item_id}.zip");
        let path = self.shared.layout.downloads_dir().join(format!("{}.zip", self.shared.env.uuid()));
        let owner = Download {
            item_id,
            user_id: actor.user_id().clone(),
        };
        let now = self.shared.env.now();
        self.inner.forget_old(actor.user_id(), now);
        self.inner.known.lock().insert(
            item_name.clone(),
            Entry {
                owner: owner.clone(),
                path: path.clone(),
                ordered: now,
                ready: false,
            },
        );
        let pictures = pictures
            .into_iter()
            .map(|image| (image.category.as_str().to_owned(), image.image_name, image.image_subfolder))
            .collect();
        if self
            .inner
            .orders
            .try_send(Order {
                item_name: item_name.clone(),
                path,
                owner,
                pictures,
                complete,
            })
            .is_err()
        {
            self.inner.known.lock().remove(&item_name);
            return Err(Error::Conflict("Too many downloads are being prepared".into()));
        }
        Ok(item_name)
    }

    fn named(&self, actor: &Actor, names: &[String]) -> Result<Vec<Option<Image>>> {
        let names = distinct(names);
        self.shared.db.read(|tx| {
            let one = |name| match authorize::<acts::ReadImage, _>(actor, images::find(tx, name)?) {
                Err(Error::NotFound(_)) if actor.is_admin() => Ok(None),
                image => Ok(Some(image?.into_inner())),
            };
            names.iter().map(one).collect()
        })
    }

    fn of_board(&self, actor: &Actor, board: &str) -> Result<(String, Vec<Image>)> {
        self.shared.db.read(|tx| {
            let (stem, on) = if board == "none" {
                ("Uncategorized".to_owned(), OnBoard::None)
            } else {
                let board_id = BoardId::new(board);
                let board = authorize::<acts::ReadBoard, _>(actor, boards::find(tx, &board_id)?)?;
                let plain = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-');
                (board.board_name.chars().filter(plain).take(100).collect(), OnBoard::Board(board_id))
            };
            let filter = ImageFilter {
                board: on,
                ..ImageFilter::default()
            };
            // Whoever owns a board may have other people's pictures on it that they may not read.
            let readable = |image| authorize::<acts::ReadImage, _>(actor, tx.seal(Some(image))).ok();
            let (all, _) = gallery::page(tx, &Scope::All, &filter, 0, i64::MAX)?;
            Ok((
                stem,
                all.into_iter().filter_map(readable).map(crate::authz::Permit::into_inner).collect(),
            ))
        })
    }

    /// Hands out an archive, which is gone once it has been read to its end.
    pub fn fetch(&self, actor: &Actor, item_name: &str) -> Result<StoredFile> {
        let known = self.inner.known.lock();
        let entry = known.get(item_name);
        authorize::<acts::FetchDownload, _>(actor, Sealed::new(entry.map(|entry| entry.owner.clone()), &Powers::default()))?;
        let Some(entry) = entry.filter(|entry| entry.ready) else {
            return Err(Error::NotFound("Not Found".into()));
        };
        let (file, ordered) = (File::open(&entry.path)?, entry.ordered);
        drop(known);
        let len = file.metadata()?.len();
        let once = Once {
            file,
            item_name: item_name.to_owned(),
            inner: Arc::downgrade(&self.inner),
            len,
            read: Some(0),
        };
        Ok(StoredFile::new(len, ordered, once))
    }
}

fn make(shared: &Shared, state: &Weak<Inner>, order: Order) {
    let download = BulkDownload {
        bulk_download_id: "default".into(),
        bulk_download_item_id: order.owner.item_id.clone(),
        bulk_download_item_name: order.item_name.clone(),
        user_id: order.owner.user_id.clone(),
    };
    let tell = |event| shared.bus.publish(shared.env.now(), event);
    tell(Event::BulkDownloadStarted(download.clone()));
    let made = write(shared, &order);
    let Some(state) = state.upgrade() else { return };
    match made {
        Ok(()) => {
            if let Some(entry) = state.known.lock().get_mut(&order.item_name) {
                entry.ready = true;
            }
            tell(Event::BulkDownloadComplete(download));
        }
        Err(error) => {
            tracing::warn!("an archive could not be made: {error}");
            state.known.lock().remove(&order.item_name);
            if order.path.exists()
                && let Err(error) = fs::remove_file(&order.path)
            {
                tracing::warn!("half an archive cannot be removed: {error}");
            }
            tell(Event::BulkDownloadError {
                download,
                error: match error {
                    Error::NotFound(text) => text,
                    _ => "The archive could not be made".into(),
                },
            });
        }
    }
}

fn write(shared: &Shared, order: &Order) -> Result<()> {
    let failed = |error| Error::internal("writing an archive", error);
    if !order.complete {
        return Err(Error::NotFound("Image record not found".into()));
    }
    let mut archive = ZipWriter::new(File::create(&order.path)?);
    for (category, name, subfolder) in &order.pictures {
        let mut picture = match shared.images.open_full(name, subfolder) {
            Ok(picture) => picture,
            // Deleted since it was asked for.
            Err(error) if error.is_absent() => continue,
            Err(error) => return Err(Error::internal("reading a picture", error)),
        };
        // PNG files are compressed as they are.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(picture.len() > 0x7fff_ffff);
        archive.start_file(format!("{category}/{name}"), options).map_err(failed)?;
        io::copy(&mut picture, &mut archive)?;
    }
    archive.finish().map_err(failed)?;
    Ok(())
}
