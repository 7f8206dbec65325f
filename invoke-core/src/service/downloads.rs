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
    authz::{Actor, Scope, Sealed, acts, authorize, authorize_global},
    domain::{BoardId, Error, ImageName, Result, download::Download, image::Image},
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
    ready: bool,
}

/// An archive to be made.
struct Order {
    item_name: String,
    path: PathBuf,
    owner: Download,
    pictures: Vec<(String, ImageName, String)>,
}

/// A file that goes when its reader does.
struct Once {
    file: File,
    path: PathBuf,
}

impl Read for Once {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Seek for Once {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("a fetched archive cannot be removed: {error}");
        }
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
    /// fetch it by. A board wins over names.
    pub fn order(&self, actor: &Actor, names: &[String], board: Option<&str>) -> Result<String> {
        authorize_global::<acts::UseServer>(actor)?;
        if names.is_empty() && board.is_none() {
            return Err(Error::BadRequest("No images or board id specified.".into()));
        }
        let id = self.shared.env.uuid();
        let (stem, pictures) = match board {
            Some("none") if !actor.is_admin() => return Err(Error::NotFound("Board not found".into())),
            Some(board) => self.of_board(actor, board)?,
            None => (String::new(), self.named(actor, names)?),
        };
        self.shared.maintenance.refuse_if_active()?;
        let item_id = if stem.is_empty() { id } else { format!("{stem}_{id}") };
        let item_name = format!("{item_id}.zip");
        let path = self.shared.layout.downloads_dir().join(format!("{}.zip", self.shared.env.uuid()));
        let owner = Download {
            item_id,
            user_id: actor.user_id().clone(),
        };
        self.inner.known.lock().insert(
            item_name.clone(),
            Entry {
                owner: owner.clone(),
                path: path.clone(),
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
            })
            .is_err()
        {
            self.inner.known.lock().remove(&item_name);
            return Err(Error::Conflict("Too many downloads are being prepared".into()));
        }
        Ok(item_name)
    }

    fn named(&self, actor: &Actor, names: &[String]) -> Result<Vec<Image>> {
        let names = distinct(names);
        self.shared.db.read(|tx| {
            let one = |name| authorize::<acts::ReadImage, _>(actor, images::find(tx, name)?).map(crate::authz::Permit::into_inner);
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
            // Whoever may see the board may see all that is on it; only an administrator gets here without one.
            Ok((stem, gallery::page(tx, &Scope::All, &filter, 0, i64::MAX)?.0))
        })
    }

    /// Hands out an archive, which is gone afterwards.
    pub fn fetch(&self, actor: &Actor, item_name: &str) -> Result<StoredFile> {
        let mut known = self.inner.known.lock();
        let entry = known.get(item_name);
        authorize::<acts::FetchDownload, _>(actor, Sealed::new(entry.map(|entry| entry.owner.clone())))?;
        if !entry.is_some_and(|entry| entry.ready) {
            return Err(Error::NotFound("Not Found".into()));
        }
        let path = known.remove(item_name).map(|entry| entry.path).unwrap_or_default();
        drop(known);
        let file = File::open(&path)?;
        let len = file.metadata()?.len();
        Ok(StoredFile::new(len, self.shared.env.now(), Once { file, path }))
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
            if let Err(error) = fs::remove_file(&order.path) {
                tracing::warn!("half an archive cannot be removed: {error}");
            }
            tell(Event::BulkDownloadError {
                download,
                error: "The archive could not be made".into(),
            });
        }
    }
}

fn write(shared: &Shared, order: &Order) -> Result<()> {
    let failed = |error| Error::internal("writing an archive", error);
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
