PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    folder BLOB NOT NULL,
    source_path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT,
    preset_name TEXT NOT NULL,
    preset_hash TEXT NOT NULL,
    model TEXT NOT NULL,
    model_version TEXT NOT NULL,
    out_dir BLOB NOT NULL,
    output_path BLOB,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_s REAL NOT NULL DEFAULT 0,
    code TEXT,
    reason TEXT,
    manifest_path BLOB,
    settled_s REAL NOT NULL,
    started_s REAL,
    finished_s REAL,
    created_s REAL NOT NULL
    , owner TEXT, lease_until_s REAL, asked TEXT);
INSERT INTO jobs VALUES(1,X'2f746d702f73747564696f2f426f756e636573',X'446f6e652e776176',8864,1796072524711490447,'24d3cb0aa86b640c84ed60f0fe5c3e2433ac6faa0208be27e0fb1d7dbc494f06','stems','05cb7d7bcd7684cc9fa6fe9a2865d32e94964263f8e1a9126475c8e4e30e2836','classical:hpss','d4ea5a958fd1265e',X'2f746d702f73747564696f2f426f756e6365732f5374656d73',X'446f6e65','done',1,0.0,NULL,NULL,X'2f746d702f73747564696f2f426f756e6365732f5374656d732f446f6e652f6d616e69666573742e6a736f6e',1796072529.1296696662,1796072529.1663308143,1796072531.7084195614,1796072529.1300830841,'579c056a585e4f5997355558469bfe2d',NULL,NULL);
INSERT INTO jobs VALUES(2,X'2f746d702f73747564696f2f426f756e636573',X'42726f6b656e2e776176',4000,1796072524714684727,'89b668bc942f69a5deb0249f58d52b88163cc20d67ede319b1da07f51de94594','stems','05cb7d7bcd7684cc9fa6fe9a2865d32e94964263f8e1a9126475c8e4e30e2836','classical:hpss','d4ea5a958fd1265e',X'2f746d702f73747564696f2f426f756e6365732f5374656d73',X'42726f6b656e','failed',1,1796072531.7282352447,'truncated','cut off: its header claims 8,820 bytes of audio, 3,956 are there; render it again, or take what is there with --accept-truncated',NULL,1796072531.6312406063,1796072531.7092769145,1796072531.72823596,1796072531.6315040587,'579c056a585e4f5997355558469bfe2d',NULL,NULL);
CREATE TABLE services (
    token TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    process_started TEXT NOT NULL,
    folder BLOB NOT NULL,
    preset_name TEXT NOT NULL,
    preset_hash TEXT NOT NULL,
    model TEXT NOT NULL,
    model_version TEXT NOT NULL,
    out_dir BLOB NOT NULL,
    started_s REAL NOT NULL,
    heartbeat_s REAL NOT NULL,
    paused TEXT,
    settings_asked INTEGER NOT NULL DEFAULT 0
    );
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('jobs',2);
CREATE INDEX jobs_by_source ON jobs (folder, source_path, id);
CREATE INDEX jobs_by_state ON jobs (folder, state, id);
CREATE INDEX jobs_by_output ON jobs (out_dir, id);
PRAGMA application_id = 1400136306;
PRAGMA user_version = 3;
COMMIT;
