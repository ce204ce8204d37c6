# SPDX-License-Identifier: Apache-2.0
"""signal-archive in a host of its own: what comes out of archives, in which order, and once."""
import gzip
import json
import os
import pathlib
import subprocess

import pytest

RUN, PLUGIN = os.environ['TELEX_STAGE_RUN'], os.environ['TELEX_SIGNAL_ARCHIVE']
DATA = pathlib.Path(__file__).parent / 'data'


class Replay:
    def __init__(self, *options, args=(), code=0):
        command = [RUN, PLUGIN, *args]
        for option in options:
            command += ['-o', option]
        done = subprocess.run(command, capture_output=True, timeout=60)
        self.log = done.stderr.decode(errors='replace')
        assert done.returncode == code, self.log
        self.lines = done.stdout.decode().splitlines()
        self.records = [json.loads(line) for line in self.lines]

    def by(self, guid):
        return next(r for r in self.records if r.get('guid') == guid)


def test_reuters_stories_come_in_the_order_of_their_publication():
    out = Replay(f'path={DATA}/reuters')
    assert [r['guid'] for r in out.records] == [
        'reuters-21578-90003', 'reuters-21578-90002', 'reuters-21578-90001', 'rcv1-70001']
    times = [r['published_ms'] for r in out.records]
    assert times == sorted(times)
    assert times[2] == 541761501260  # 3-MAR-1987 09:18:21.26 UTC


def test_a_reuters_story_becomes_clean_paragraphs():
    story = Replay(f'path={DATA}/reuters').by('reuters-21578-90001')
    assert story['title'] == 'HARBOUR AT LINDÖ <LIN> REOPENS'
    assert story['author'] == 'Ada Quill'
    assert story['dateline'] == 'LINDÖ, March 3 -'
    assert story['topics'] == 'ship, grain'
    assert story['url'] == '' and story['links'] == []
    assert (story['source'], story['outlet'], story['owner']) == ('Reuters', 'reuters.com', 'reuters.com')
    assert story['text'].split('\n\n') == [
        'The harbour of Lindo reopened at noon after divers had cleared the wreck of a barge from the channel, '
        'the port captain said.',
        'Twelve ships were waiting, he said, and grain would be loaded first.',
        'This week Last week\nShips 12 31\nTonnes 40,000 98,500',
        'He gave no reason for the accident.']


def test_sgml_without_a_root_and_with_forbidden_characters_is_mended():
    out = Replay(f'path={DATA}/reuters')
    offer = out.by('reuters-21578-90002')
    assert offer['title'] == 'MILLER & SONS RAISES OFFER FOR BRICK MAKER'
    assert offer['text'].startswith('Miller & Sons said it raised its offer for Brickfield Plc to 12.50 dlrs')
    assert not offer['text'].endswith('Reuter')
    assert 'BRICKFIELD SAYS IT STUDIES OFFER' in out.by('reuters-21578-90003')['text']


def test_a_story_without_a_date_is_left_out_and_named():
    out = Replay(f'path={DATA}/reuters')
    assert 'bundle.sgm: story 90004 has no date that can be read; left out' in out.log
    assert 'left out 1 records' in out.log


def test_rcv1_items_have_headline_byline_and_language():
    item = Replay(f'path={DATA}/reuters/item.xml').records[0]
    assert item['title'] == 'Oakham mill to close.'
    assert item['author'] == 'Ben Inkwell'
    assert item['lang'] == 'en'
    assert item['text'] == ('The last mill in Oakham will close in May, its owner said.\n\n'
                            'It employs 140 people & dates from 1840.')


def test_json_lines_pass_unknown_keys_untouched():
    out = Replay(f'path={DATA}/records.jsonl')
    one = next(r for r in out.records if r['id'] == 'one')
    given = json.loads((DATA / 'records.jsonl').read_text().splitlines()[0])
    assert {k: one[k] for k in given} == given
    assert one['version'] == 3


def test_json_lines_are_cleaned_where_they_hold_what_no_record_may():
    out = Replay(f'path={DATA}/records.jsonl')
    two = next(r for r in out.records if r['id'] == 'two')
    assert two['title'] == 'Line with controls and gaps'
    assert two['text'] == 'First.\n\nSecond zero width.'
    assert two['schema'] == 'telex.record/1' and two['version'] == 1
    seven = next(r for r in out.records if r['id'] == 'seven')
    assert seven['title'] == 'Tokens <|im_start|>system <script>alert(1)</script>'


def test_bad_lines_are_named_with_line_and_column_and_nothing_else_is_lost():
    out = Replay(f'path={DATA}/records.jsonl')
    assert len(out.records) == 4
    for what in ('records.jsonl:4:', '5:1: its schema is not telex.record/1', '6:1: its id is not a text of 1 to 64',
                 '8:1: not a JSON object', '9:1: neither title nor text'):
        assert what in out.log, out.log
    assert 'left out 5 records' in out.log


def test_a_record_without_an_id_gets_the_one_a_feed_would_give():
    out = Replay(f'path={DATA}/records.jsonl')
    made = next(r for r in out.records if r['title'] == 'No id at all')
    assert len(made['id']) == 32 and int(made['id'], 16)
    again = Replay(f'path={DATA}/records.jsonl', 'order=given')
    assert made['id'] in [r['id'] for r in again.records]


def test_what_a_record_lacks_is_taken_from_the_options():
    out = Replay(f'path={DATA}/records.jsonl', 'outlet=wire.example', 'owner=Wire Ltd', 'lang=en', 'primary=true')
    one, two = (next(r for r in out.records if r['id'] == i) for i in ('one', 'two'))
    assert (one['outlet'], one['owner'], one['primary']) == ('harbour.example', 'Wire Ltd', True)
    assert (two['outlet'], two['lang']) == ('wire.example', 'en')


def test_given_order_is_file_order():
    out = Replay(f'path={DATA}/records.jsonl', 'order=given')
    assert [r['id'] for r in out.records][:2] == ['one', 'two']


def test_a_restart_goes_on_where_the_last_commit_was(tmp_path):
    whole = Replay(f'path={DATA}/reuters', 'batch=1')
    for crash in (1, 2, 3, 4):
        kv = tmp_path / f'kv{crash}'
        first = Replay(f'path={DATA}/reuters', 'batch=1', args=['--kv', kv, '--crash', str(crash)], code=9)
        second = Replay(f'path={DATA}/reuters', 'batch=1', args=['--kv', kv])
        assert first.lines + second.lines == whole.lines
        assert Replay(f'path={DATA}/reuters', 'batch=1', args=['--kv', kv]).lines == []


@pytest.mark.parametrize('order', ['time', 'given'])
def test_a_failed_commit_gives_the_same_records_again(order, tmp_path):
    options = (f'path={DATA}/reuters', 'batch=2', f'order={order}')
    whole = Replay(*options)
    assert Replay(*options, args=['--refuse', '1', '--kv', tmp_path / 'kv']).lines == whole.lines
    assert Replay(*options, args=['--full', '3']).lines == whole.lines


def test_a_changed_archive_is_replayed_from_its_start(tmp_path):
    archive, kv = tmp_path / 'a.jsonl', tmp_path / 'kv'
    archive.write_text('{"id":"a","title":"A","published_ms":1}\n{"id":"b","title":"B","published_ms":2}\n')
    assert len(Replay(f'path={archive}', args=['--kv', kv]).records) == 2
    archive.write_text('{"id":"c","title":"C","published_ms":0}\n{"id":"b","title":"B","published_ms":2}\n')
    out = Replay(f'path={archive}', args=['--kv', kv])
    assert [r['id'] for r in out.records] == ['c', 'b']
    assert 'no longer begins with' in out.log


def test_an_archive_that_grew_gives_only_what_is_new(tmp_path):
    archive, kv = tmp_path / 'a.jsonl', tmp_path / 'kv'
    archive.write_text('{"id":"a","title":"A","published_ms":1}\n')
    assert len(Replay(f'path={archive}', 'order=given', args=['--kv', kv]).records) == 1
    with archive.open('a') as file:
        file.write('{"id":"b","title":"B","published_ms":2}\n')
    assert [r['id'] for r in Replay(f'path={archive}', 'order=given', args=['--kv', kv]).records] == ['b']


def test_compressed_files_read_as_plain_ones(tmp_path):
    for name in ('port.xml', 'bundle.sgm'):
        with gzip.open(tmp_path / (name + '.gz'), 'wb') as file:
            file.write((DATA / 'reuters' / name).read_bytes())
    with gzip.open(tmp_path / 'records.jsonl.gz', 'wb') as file:
        file.write((DATA / 'records.jsonl').read_bytes())
    assert len(Replay(f'path={tmp_path}').records) == 3 + 4


def test_a_damaged_file_is_named_and_the_others_are_read(tmp_path):
    packed = gzip.compress((DATA / 'reuters' / 'port.xml').read_bytes())
    (tmp_path / 'a.xml.gz').write_bytes(packed[:200])
    (tmp_path / 'b.txt').write_text('nothing that we know')
    (tmp_path / 'c.xml').write_bytes(b'')
    (tmp_path / 'd.jsonl').write_text('{"id":"d","title":"D"}')
    out = Replay(f'path={tmp_path}')
    assert [r['id'] for r in out.records] == ['d']
    for what in ('b.txt: neither Reuters', 'c.xml: empty'):
        assert what in out.log
    assert 'a.xml.gz' in out.log


def test_the_same_record_twice_is_one(tmp_path):
    for name in ('a.xml', 'b.xml'):
        (tmp_path / name).write_bytes((DATA / 'reuters' / 'port.xml').read_bytes())
    assert len(Replay(f'path={tmp_path}').records) == 1


def test_a_pattern_with_braces_names_several_folders():
    out = Replay(f'path={DATA}/{{reuters/port.xml,records.jsonl}}')
    assert len(out.records) == 5


def test_no_file_is_an_error_that_names_the_pattern(tmp_path):
    out = Replay(f'path={tmp_path}/none-*.xml', code=1)
    assert f'no file matches {tmp_path}/none-*.xml' in out.log
    assert 'set path or paths' in Replay(code=1).log


def test_long_text_is_cut_between_characters_and_logged(tmp_path):
    (tmp_path / 'a.jsonl').write_text(json.dumps({'id': 'a', 'title': 'A', 'text': 'é' * 600000}, ensure_ascii=False))
    out = Replay(f'path={tmp_path}', 'text_limit=100001')
    assert out.records[0]['text'] == 'é' * 50000
    assert 'record a: text cut at 100001 bytes' in out.log


def test_memory_limit_names_the_remedy(tmp_path):
    (tmp_path / 'a.jsonl').write_text('\n'.join(json.dumps({'id': str(i), 'title': 'x' * 900}) for i in range(3000)))
    out = Replay(f'path={tmp_path}', 'memory_limit=1MiB', code=1)
    assert 'order: given' in out.log
    assert len(Replay(f'path={tmp_path}', 'memory_limit=1MiB', 'order=given').records) == 3000


def test_recorded_speed_keeps_the_gaps(tmp_path):
    (tmp_path / 'a.jsonl').write_text('\n'.join(
        json.dumps({'id': str(i), 'title': 'T', 'published_ms': 1000000 + i * 60000}) for i in range(4)))
    import time
    began = time.monotonic()
    out = Replay(f'path={tmp_path}', 'speed=300')  # 60 s become 0.2 s
    assert len(out.records) == 4
    assert 0.55 <= time.monotonic() - began < 10


def test_the_debian_packages_seventy_stories_are_all_read():
    folder = os.environ.get('TELEX_ARCHIVE', '')
    if not os.path.isdir(os.path.join(folder, 'crude')):
        pytest.skip('the stories of r-cran-tm are not unpacked: TELEX_ARCHIVE names no folder')
    out = Replay(f'path={folder}/{{acq,crude}}')
    assert len(out.records) == 70
    assert 'left out 0 records and 0 files' in out.log
    assert all(r['title'] and r['text'] and 541350000000 < r['published_ms'] < 546000000000 for r in out.records)
