#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""manpages.py TELEX DOCS OUT1 OUT5 OUT7 - the manuals, made of what is there already, so that they cannot differ from it:
section 1 of the tables behind --help (host/cli/help.h), one page for each command; telex.yaml(5) of docs/config.md and
telex-plugin(7) of docs/plugin-guide.md. Pages are man(7), for man-db and mandoc alike."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

VERSION = ""
DATE = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))


def escaped(text):
    """Plain text for the middle of a line."""
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha") \
        .replace("~", "\\(ti")


def inline(text):
    """Markdown inside a paragraph: `code`, **strong**, [text](target)."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    out = []
    for i, part in enumerate(re.split(r"`([^`]*)`", text)):
        if i % 2:
            out.append(f"\\fB{escaped(part)}\\fR")
        else:
            out.append(re.sub(r"\*\*(.*?)\*\*", r"\\fB\1\\fR", escaped(part)))
    line = "".join(out)
    return "\\&" + line if line.startswith((".", "'")) else line


def paragraphs(text):
    """.PP and a line for each paragraph; lines that are indented stay as they are."""
    out = []
    if not text.strip():
        return out
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.split("\n")
        begin = next((i for i, line in enumerate(lines) if line.startswith("  ")), len(lines))
        if begin:
            out += [".PP", inline(" ".join(" ".join(lines[:begin]).split()))]
        if begin < len(lines):
            out += literal(line.removeprefix("  ") for line in lines[begin:])
    return out


def literal(lines):
    return [".PP", ".RS 4", ".nf", *(("\\&" + escaped(line)) if line.strip() else "\\&" for line in lines), ".fi", ".RE"]


def head(name, section, about):
    return [f'.TH {name.upper()} {section} "{DATE}" "telex {VERSION}" "telex manual"', ".SH NAME", f"{escaped(name)} \\- {escaped(about)}"]


def tail(others):
    pages = [f"\\fB{escaped(name)}\\fR({section})" for name, section in others]
    return [".SH SEE ALSO", ",\n".join(pages)]


# ---- section 1: from the tables of --help ----

def ask(telex, *words):
    done = subprocess.run([telex, *words, "--help-json"], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        sys.exit(f"manpages.py: telex {' '.join(words)} --help-json: exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def synopsis(told):
    forms = told.get("args", "").split("\n") if "args" in told else ["COMMAND [ARGUMENT...]"]
    option = "[\\fIOPTION\\fR...] " if told.get("options") else ""
    out = []
    for form in forms:
        out += [".PP", f"\\fBtelex {escaped(told['name'])}\\fR {option}{escaped(form)}".rstrip()]
    return out


def options(told):
    out = []
    for option in told.get("options", []):
        if not option["names"]:
            out += [".PP", inline(option["doc"])]
            continue
        long = option["names"][-1].startswith("--")
        arg = f"{'=' if long else ' '}\\fI{escaped(option['arg'])}\\fR" if option["arg"] else ""
        out += [".TP", ", ".join(f"\\fB{escaped(name)}\\fR" for name in option["names"]) + arg, inline(option["doc"])]
    return out


def below(telex, told):
    """The commands below a command, a subsection each."""
    out = [".SH COMMANDS"] if told["commands"] else []
    for command in told["commands"]:
        one = ask(telex, *told["name"].split(), command["name"])
        out += [f".SS {escaped('telex ' + one['name'])}", *synopsis(one)[1:], *paragraphs(one["doc"]), *options(one),
                *paragraphs(one["after"])]
    return out


def command_page(telex, command):
    told = ask(telex, command["name"])
    name = f"telex-{command['name']}"
    lines = head(name, 1, command["doc"].rstrip("?.") or command["name"])
    lines += [".SH SYNOPSIS", *synopsis(told)[1:], ".SH DESCRIPTION",
              *paragraphs(told.get("doc") or command["doc"][0].upper() + command["doc"][1:] + ".")[1:]]
    if told.get("options"):
        lines += [".SH OPTIONS", *options(told)]
    lines += below(telex, told)
    if told.get("after"):
        lines += [".SH NOTES", *paragraphs(told["after"])[1:]]
    lines += tail([("telex", 1), ("telex.yaml", 5), ("telex-plugin", 7)])
    return name, lines


def telex_page(telex, commands):
    lines = head("telex", 1, "runs an autonomous news wire")
    lines += [".SH SYNOPSIS", "\\fBtelex\\fR \\fICOMMAND\\fR [\\fIARGUMENT\\fR...]", ".br", "\\fBtelex \\-\\-version\\fR", ".SH DESCRIPTION"]
    lines += paragraphs("Records come in from feeds and archives, records about the same breaking story are grouped, a language model "
                        "writes one short dispatch that cites its records, and the dispatch is published. A config says which plugin "
                        "does each step: signal, cluster, write, wire.\n\nEach command explains itself with `--help`, and in a page of "
                        "its own.")[1:]
    lines.append(".SH COMMANDS")
    for command in commands:
        lines += [".TP", f"\\fBtelex\\-{escaped(command['name'])}\\fR(1) {escaped(command['args'])}".rstrip(), inline(command["doc"])]
    lines += [".SH ENVIRONMENT"]
    for name, about in (("TELEX_PLUGIN_PATH", "folders where plugins are looked for first, separated by colons"),
                        ("TELEX_RUNNER", "the program that runs stages with `isolation: process`"),
                        ("TELEX_CACHE", "folder of models and of what is expensive to make; default: `~/.cache/telex`"),
                        ("TELEX_MODELS", "folder of models; default: `models` in the cache"),
                        ("XDG_RUNTIME_DIR", "where private copies of plugins are put; default: `/tmp`")):
        lines += [".TP", f"\\fB{name}\\fR", inline(about)]
    lines += [".SH EXIT STATUS"]
    for code, about in (("0", "fine"), ("1", "failed: a stage is down, something is missing, a check found something"),
                        ("2", "the command line is wrong"), ("74", "the journal cannot be written"),
                        ("77", "a plugin is not one that the config trusts"), ("78", "the config is wrong")):
        lines += [".TP", f"\\fB{code}\\fR", inline(about)]
    return lines + tail([(f"telex-{c['name']}", 1) for c in commands] + [("telex.yaml", 5), ("telex-plugin", 7)])


# ---- sections 5 and 7: from Markdown ----

def table(rows):
    """A row becomes an item: its first cell, then the others, those in the middle with the name of their column."""
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))] for row in rows]
    names, out = cells[0], []
    for row in cells[2:]:
        text = "; ".join(f"{names[i]}: {cell}" for i, cell in enumerate(row[1:-1], 1) if cell)
        out += [".TP", inline(row[0]) or "\\&", *([inline(text) + ".", ".br"] if text else []), inline(row[-1]) or "\\&"]
    return out


def markdown(text):
    """From the first heading of the second level on; what stands before it is the description."""
    out, block = [".SH DESCRIPTION"], []
    lines = text.split("\n")[1:]

    def flush():
        nonlocal block
        if not block:
            return
        if block[0].startswith("|"):
            out.extend(table(block))
        elif block[0].startswith("- "):
            for item in re.split(r"\n- ", "\n".join(block)[2:]):
                out.extend([".IP \\(bu 2", inline(" ".join(item.split()))])
        else:
            out.extend([".PP", inline(" ".join(" ".join(block).split()))])
        block = []

    i = 0
    while i < len(lines):
        line = lines[i]
        if line.startswith("```"):
            flush()
            end = next((k for k in range(i + 1, len(lines)) if lines[k].startswith("```")), len(lines))
            out.extend(literal(lines[i + 1:end]))
            i = end
        elif line.startswith("    ") and not block:
            end = next((k for k in range(i, len(lines)) if lines[k].strip() and not lines[k].startswith("    ")), len(lines))
            out.extend(literal(code.removeprefix("    ") for code in "\n".join(lines[i:end]).rstrip().split("\n")))
            i = end - 1
        elif line.startswith("## "):
            flush()
            out.append(f".SH {escaped(line[3:].upper())}")
        elif line.startswith("### "):
            flush()
            out.append(f".SS {escaped(line[4:])}")
        elif not line.strip():
            flush()
        else:
            block.append(line)
        i += 1
    flush()
    # No paragraph mark directly below a heading.
    return [line for i, line in enumerate(out) if not (line == ".PP" and i and out[i - 1].startswith((".SH", ".SS")))]


def write(folder, name, section, lines):
    (folder / f"{name}.{section}").write_text("\n".join(lines) + "\n")


def main():
    global VERSION
    telex, docs, *folders = sys.argv[1:]
    docs, [one, five, seven] = pathlib.Path(docs), map(pathlib.Path, folders)
    VERSION = subprocess.run([telex, "--version"], capture_output=True, text=True, timeout=60).stdout.split()[1]
    for folder in (one, five, seven):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    commands = ask(telex)["commands"]
    write(one, "telex", 1, telex_page(telex, commands))
    for command in commands:
        name, lines = command_page(telex, command)
        write(one, name, 1, lines)
    for folder, section, name, source, about in ((five, 5, "telex.yaml", "config.md", "the config of a pipeline"),
                                                 (seven, 7, "telex-plugin", "plugin-guide.md", "how to write a plugin for telex")):
        lines = head(name, section, about) + markdown((docs / source).read_text())
        write(folder, name, section, lines + tail([("telex", 1), ("telex-check", 1), ("telex-plugin", 7) if section == 5 else
                                                   ("telex.yaml", 5)]))


if __name__ == "__main__":
    main()
