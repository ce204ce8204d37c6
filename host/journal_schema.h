/* SPDX-License-Identifier: Apache-2.0 */
/* journal_schema.h - the tables of journal.h, as SQL. */
#ifndef HOST_JOURNAL_SCHEMA_H
#define HOST_JOURNAL_SCHEMA_H

#define JOURNAL_LAYOUT 1

static const char journal_schema_sql[] =
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS msg(seq INTEGER PRIMARY KEY, schema TEXT NOT NULL, id TEXT NOT NULL,"
    " version INTEGER NOT NULL, origin TEXT NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL);"
    "CREATE INDEX IF NOT EXISTS msg_id ON msg(id, schema, version);"
    "CREATE INDEX IF NOT EXISTS msg_event ON msg(seq) WHERE schema = 'telex.event/1';"
    "CREATE TABLE IF NOT EXISTS edge(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " n_in INTEGER NOT NULL DEFAULT 0, n_delivered INTEGER NOT NULL DEFAULT 0,"
    " n_superseded INTEGER NOT NULL DEFAULT 0, n_quarantined INTEGER NOT NULL DEFAULT 0,"
    " n_dropped INTEGER NOT NULL DEFAULT 0, n_expired INTEGER NOT NULL DEFAULT 0,"
    " since_seq INTEGER NOT NULL, schemas TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS delivery(edge INTEGER NOT NULL, seq INTEGER NOT NULL, state INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(edge, seq)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS delivery_waiting ON delivery(edge, seq) WHERE state = 0;"
    "CREATE TABLE IF NOT EXISTS kv(stage TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
    " PRIMARY KEY(stage, key)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS quarantine(edge INTEGER NOT NULL, seq INTEGER NOT NULL, stage TEXT NOT NULL,"
    " plugin TEXT NOT NULL, reason TEXT NOT NULL, attempts INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
    " PRIMARY KEY(edge, seq)) WITHOUT ROWID;";

#endif
