# SPDX-License-Identifier: Apache-2.0
"""HTML read without a tree says what gumbo's tree says: of fragments made to be difficult, of random ones, and of what
the shared corpora carry."""
import html
import json
import os
import pathlib
import random
import re
import subprocess

import pytest

PROGRAM = os.environ['TELEX_HTML_BOTH']
CORPORA = pathlib.Path(os.environ.get('TELEX_SHARED_DATA', '')) / 'feeds'


def compare(fragments):
    """The share that needed no tree; fails where the two readings differ."""
    done = subprocess.run([PROGRAM], input=b'\x1e'.join(fragments), capture_output=True, timeout=250)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode in (0, 1), done.stderr.decode(errors='replace')[-3000:]
    assert done.returncode == 0, json.dumps(lines[:3], indent=1)[:4000]
    return lines[-1]['without_tree'] / lines[-1]['fragments']


DIFFICULT = '''
<p>One<p>Two</p>three
<p>a<div>b</p>c</div>d
<div><p>a</div>b</p>c
<ul><li>a<li>b<ul><li>c</ul>d</ul>e
<ul><li><p>a<li><div>b<li>c</ul>
<li>a</li>b</li>c
<ol><li>a</ul>b</ol>c
<dl><dt>a<dd>b<dt>c<dd><p>d</dl>e
<dl><dt>a<dd>b</dt>c</dd>d</dl>
<b><p>a</b>b</p>c
<p><b>a</p>b</b>c
<a href=/1>a<a href=/2>b</a>c</a>d
<a href=/1><p>a</a>b</p>c
<i><b>a</i>b</b>c<div>d
<table><tr><td>a<td>b<tr><td>c</table>d
<table><td>a<tr><td>b</table>c
<p>a<table><tr><td>b<p>c</table>d</p>e
<table><tbody><tr><td>a</td></tr></tbody><tfoot><tr><td>b</table>c
<table><tr><td><table><tr><td>a</td></tr></table>b</td></tr></table>c
<table><tr><td>a</th>b</td></tr></tbody></table></table>c
<table>a<tr><td>b</table>c
<table><tr><b>a<td>b</table>c
<table><tr><td><div>a</td><td>b</div>c</table>d
<table><td><p>a</tbody>b</table>c
<table><th><pre></tbody>a</tbody>b<th>c
</td>a</tr>b</table>c</tbody>
<td>a<td>b<tr>c
<h1>a<h2>b</h1>c</h2>d
<h1>a</h3>b
<blockquote>a<figcaption>b</blockquote>c
<pre>
a
 b</pre>c
a<br>b<br/>c</br>d</p>e
a<hr>b</hr>c
<p>a<hr>b
<span>a<div>b</span>c</div>d
<center>a</div>b</center>c
<details><summary>a</summary>b</details>c
<fieldset><legend>a</legend>b</fieldset>c
a<script>var b = "<p>"</script>c
a<script><!-- <script> </script> --></script>c
a<style>p{}</style>b<style>c
a<iframe src=x>b</iframe>c<iframe/>d
a<iframe>b
a<!-- b -->c<!-->d<!--->e<!-- f --!>g<!-- h
a<!doctype html>b<?php c ?>d</ e>f</>g<!x>h
a < b <3 <= <c
a<b
a<p title="
a<p title='>'>b<p title=">">c<p title=a">b>d
a &amp; &lt;b&gt; &quot; &nbsp; &#8217; &#x2019; &#150; &hellip;
&lang;a&rang; &NotEqualTilde; &copy b &copy2 &ampx &amp &am &a &; &#; &#x; &#0; &#xD800; &#99999999999;
AT&T R&D Q & A a&b=c ?a=1&copy=2
<a href="/x?a=1&amp;b=2&c=3&copy=4">a</a><a href="/x?&amp">b</a><a href="/x?a&lt;b">c</a>
<a href=" /x
y ">a</a><a href>b</a><a href="">c</a><a href="#d">d</a><A HREF='HTTP://A.example/' href=/2>e</A>
<a href=javascript:1>a</a><a href=mailto:b>b</a><a href=//c.example>c</a>
<p hidden>a</p>b<p style="display:none">c</p>d<p style="color:red">e</p><p aria-hidden=true>f</p>g
<br hidden>a<img hidden>b
<img alt=a>b<input value=c>d<wbr>e<embed>f
<select><option>a</select>b<textarea><p>c</textarea>d<button>e</button>f
<title>a</title>b<body>c<html>d<head>e
<svg><p>a</svg>b<math><mi>c</math>d
<object>a</object>b<video>c</video>d<audio>e</audio>f<canvas>g</canvas>h
<noscript>a</noscript>b<template>c</template>d<noframes>e</noframes>f
<form><p>a<form>b</form>c</form>d
<ruby>a<rt>b<rp>c</ruby>d
<custom-tag>a</custom-tag>b<o:p>c</o:p>d<blockquotes>e</blockquotes>f
<address>a<li>b</address>c<dir>d</dir>e<menu>f</menu>g
<nobr>a<nobr>b</nobr>c
<p/>a<div/>b<br/>c<a/>d
<plaintext>a</plaintext>b
<xmp>a</xmp>b<listing>c</listing>d
<section>a<article>b<aside>c</section>d
<main>a</main>b<nav>c</nav>d<header>e</header>f<footer>g</footer>h
<font color=white>a</font>b<span style="font-size:0">c</span>d<span style='color:&quot;x'>e</span>
'''.strip('\n').encode().split(b'\n')


def test_difficult_fragments_read_the_same():
    assert compare(DIFFICULT) > 0.4
    assert compare([b' '.join(DIFFICULT[n:n + 3]) for n in range(len(DIFFICULT))]) >= 0


PIECES = ['a', 'b ', ' ', '\n', '<p>', '</p>', '<div>', '</div>', '<ul>', '</ul>', '<ol>', '</ol>', '<li>', '</li>', '<b>', '</b>',
          '<i>', '</i>', '<a href="/x?a=1&amp;b">', '</a>', '<br>', '<br/>', '</br>', '<h2>', '</h2>', '<h3>', '</h3>', '<table>',
          '</table>', '<tr>', '</tr>', '<td>', '</td>', '<th>', '</th>', '<tbody>', '</tbody>', '<dl>', '</dl>', '<dt>', '<dd>',
          '</dd>', '</dt>', '<blockquote>', '</blockquote>', '<span class="c">', '</span>', '<img src="x">', '<hr>', '&amp;',
          '&nbsp;', '&#8217;', '<!-- c -->', '<pre>', '</pre>', '<section>', '</section>', '<summary>', '</summary>', '<menu>',
          '</menu>', '<legend>', '<em style="color:red">', '</em>', '<script>x</script>', '<address>', '</address>', '<font>',
          '</font>', '<figcaption>', '</figcaption>', '<thead>', '<details>', '</details>']


def test_random_fragments_read_the_same():
    rng = random.Random(int(os.environ.get('TELEX_FUZZ_SEED', '8')))
    for _ in range(int(os.environ.get('TELEX_FUZZ_ROUNDS', '4'))):
        shares = compare([''.join(rng.choice(PIECES) for _ in range(rng.randint(1, 24))).encode() for _ in range(6000)])
        few = [rng.sample(PIECES, 8) for _ in range(6000)]
        compare([''.join(rng.choice(some) for _ in range(rng.randint(1, 30))).encode() for some in few])
        assert shares > 0.2


def fragments_of(data):
    text = data.decode('utf-8', errors='replace')
    for tag in ('description', 'content:encoded', 'content', 'summary', 'title', 'tagline', 'subtitle', 'body', 'div'):
        for found in re.findall(rf'<{tag}[^>]*>(.*?)</{tag}>', text, re.S):
            cdata = re.fullmatch(r'\s*<!\[CDATA\[(.*?)\]\]>\s*', found, re.S)
            yield (cdata[1] if cdata else html.unescape(found)).encode('utf-8', errors='replace')


def test_the_html_of_the_corpora_reads_the_same():
    if not CORPORA.is_dir():
        pytest.skip(f'the shared feed documents are not here ({CORPORA})')
    # controls go: gumbo makes U+FFFD of them where telex reads windows-1252 or nothing
    fragments = [re.sub(b'[\0-\x08\x0b\x0e-\x1f\x7f]|\xc2[\x80-\x9f]', b'', f) for path in sorted(CORPORA.rglob('*')) if path.suffix in ('.xml', '.rss')
                 for f in fragments_of(path.read_bytes())]
    share = compare([f for f in fragments if f])
    print(f'{len(fragments)} fragments, {100 * share:.1f} % without a tree')
    assert share > 0.9
