//! How long lists of a gallery of 200,000 pictures take: `cargo bench -p invoke-core --bench gallery`.
//!
//! Each line is the median of 21 runs in milliseconds, lists written out as JSON. The gallery is made in a temporary folder first, in half a
//! minute: half of it is one user's, a third lies on 200 boards.

use std::{hint::black_box, path::Path, sync::Arc};

use invoke_core::{
    authn::Authenticator,
    authz::Actor,
    config::{Config, Settings},
    db::Db,
    domain::{BoardId, board::BoardOrder, image::ImageCategory, page::Direction},
    env::Env,
    files::MemoryStore,
    repo::gallery::{ImageFilter, OnBoard},
    service::{
        Door, Shared,
        boards::{BoardListing, Boards},
        gallery::Gallery,
        images::Images,
    },
};

const PICTURES: u64 = 200_000;
const BOARDS: u64 = 200;
const RUNS: usize = 21;

/// A number that looks random.
fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 31)).wrapping_mul(0x7fb5_d329_728e_a185);
    (n ^ (n >> 27)).wrapping_mul(0x81da_def4_bc2d_d44d) >> 20
}

fn fill(file: &Path) -> rusqlite::Result<()> {
    let mut connection = rusqlite::Connection::open(file)?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    let transaction = connection.transaction()?;
    for board in 0..BOARDS {
        transaction.execute(
            "INSERT INTO boards (board_id, board_name, user_id) VALUES (?1, ?1, ?2)",
            (format!("board-{board}"), format!("user-{}", board % 20)),
        )?;
    }
    let metadata = format!("{{\"positive_prompt\": \"{}\"}}", "a red fox ".repeat(60));
    for n in 0..PICTURES {
        let random = mixed(n);
        let name = format!("{random:016x}-{n:08}.png");
        let owner = if n % 2 == 0 { 0 } else { random % 20 };
        let seconds = n * 150;
        let created = format!(
            "2026-{:02}-{:02} {:02}:{:02}:{:02}.000",
            1 + seconds / 2_592_000,
            1 + seconds / 86_400 % 28,
            seconds / 3600 % 24,
            seconds / 60 % 60,
            seconds % 60
        );
        transaction
            .prepare_cached(
                "INSERT INTO images (image_name, image_origin, image_category, width, height, metadata, is_intermediate, created_at, updated_at, starred, user_id)
                 VALUES (?1, 'internal', ?2, 512, 512, ?3, ?4, ?5, ?5, ?6, ?7)",
            )?
            .execute((
                &name,
                if random.is_multiple_of(6) { "control" } else { "general" },
                &metadata,
                n % 10 == 0,
                created,
                n % 50 == 1,
                format!("user-{owner}"),
            ))?;
        if n % 3 == 0 {
            transaction
                .prepare_cached("INSERT INTO board_images (board_id, image_name) VALUES (?1, ?2)")?
                .execute((format!("board-{}", random % BOARDS), &name))?;
        }
    }
    transaction.commit()
}

fn timed<T>(env: &Env, label: &str, mut work: impl FnMut() -> T) {
    let mut times: Vec<u64> = (0..RUNS)
        .map(|_| {
            let begun = env.monotonic_ns();
            black_box(work());
            env.monotonic_ns() - begun
        })
        .collect();
    times.sort_unstable();
    println!("{label:48} {:8.2} ms", times[RUNS / 2] as f64 / 1e6);
}

fn main() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let env = Env::system();
    let config = Arc::new(Config::from_settings(
        root.path(),
        Settings {
            multiuser: true,
            ..Settings::default()
        },
    ));
    let file = root.path().join("gallery.db");
    drop(Db::open(&file, env.now()).expect("a fresh database"));
    fill(&file).expect("a filled database");
    let db = Arc::new(Db::open(&file, env.now()).expect("the database"));
    let authenticator = Authenticator::open(Arc::clone(&db), env.clone(), true).expect("a signing key");
    let store = MemoryStore::new(Arc::clone(&config), env.clone());
    let shared = Arc::new(Shared::new(
        config,
        env.clone(),
        db,
        Arc::new(authenticator),
        Arc::new(store),
        Door::Library,
    ));
    let (images, gallery, boards) = (
        Images::new(Arc::clone(&shared)),
        Gallery::new(Arc::clone(&shared)),
        Boards::new(shared),
    );
    let admin = Actor::local_operator();
    let shown = ImageFilter {
        is_intermediate: Some(false),
        ..ImageFilter::default()
    };
    let loose = ImageFilter {
        board: OnBoard::None,
        categories: vec![ImageCategory::General],
        ..shown.clone()
    };
    let on_board = ImageFilter {
        board: OnBoard::Board(BoardId::new("board-7")),
        ..shown.clone()
    };
    let merged = ImageFilter {
        starred_first: false,
        ..ImageFilter::default()
    };
    let names = |filter: &ImageFilter| {
        serde_json::to_vec(&gallery.item_names(&admin, filter).expect("names"))
            .expect("JSON")
            .len()
    };
    let page = |filter: &ImageFilter, offset| {
        serde_json::to_vec(&images.list(&admin, filter, offset, 100).expect("a page"))
            .expect("JSON")
            .len()
    };
    timed(&env, "all names (180,000)", || names(&shown));
    timed(&env, "all names, intermediates too, by date alone", || names(&merged));
    timed(&env, "uncategorised names of one category", || names(&loose));
    timed(&env, "names on one board", || names(&on_board));
    timed(&env, "first page of 100", || page(&shown, 0));
    timed(&env, "page in the middle", || page(&shown, 90_000));
    timed(&env, "last page", || page(&shown, 179_900));
    timed(&env, "first page by date alone", || page(&merged, 0));
    timed(&env, "page of uncategorised ones", || page(&loose, 0));
    timed(&env, "page of one board", || page(&on_board, 0));
    let listing = BoardListing {
        order: BoardOrder::CreatedAt,
        direction: Direction::Desc,
        include_archived: false,
    };
    timed(&env, "all boards (200), covers and counts", || {
        serde_json::to_vec(&boards.list_all(&admin, listing).expect("boards"))
            .expect("JSON")
            .len()
    });
    timed(&env, "days", || {
        serde_json::to_vec(&gallery.by_date(&admin).expect("days")).expect("JSON").len()
    });
    timed(&env, "search in metadata, first page", || {
        page(
            &ImageFilter {
                search_term: Some("green fox".into()),
                ..shown.clone()
            },
            0,
        )
    });
}
