/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: who may speak, what is answered, and what bad input costs. */
#include <setjmp.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "control.h"
#include "control_address.h"

enum { PATIENCE_MS = 30000 };

/* A loop in a thread of its own with a control socket on it. */
struct host {
    char dir[256], path[CONTROL_PATH_MAX];
    uv_loop_t loop;
    uv_async_t end;
    pthread_t thread;
    struct control *control;
    struct control_request *held; /* of "later" and "never" */
    int n_echoes;
};

static void run_echo(void *arg, struct control_request *request, const json_t *body) {
    struct host *host = arg;
    host->n_echoes++;
    control_answer(request, json_pack("{s:O?}", "said", json_object_get(body, "say")));
}

static void run_fail(void *arg, struct control_request *request, const json_t *body) {
    (void)arg;
    (void)body;
    control_refuse(request, "no record %d; see `telex quarantine list`", 7);
}

static void run_large(void *arg, struct control_request *request, const json_t *body) {
    (void)arg;
    size_t size = (size_t)json_integer_value(json_object_get(body, "bytes"));
    char *text = malloc(size + 1);
    assert_non_null(text);
    memset(text, 'x', size);
    control_answer(request, json_pack("{s:s%}", "text", text, size));
    free(text);
}

static void run_later(void *arg, struct control_request *request, const json_t *body) {
    struct host *host = arg;
    (void)body;
    host->held = request;
}

static void run_release(void *arg, struct control_request *request, const json_t *body) {
    struct host *host = arg;
    (void)body;
    if (host->held)
        control_answer(host->held, json_pack("{s:s}", "said", "at last"));
    host->held = NULL;
    control_answer(request, NULL);
}

static const struct control_command commands[] = {{"echo", run_echo},       {"fail", run_fail},
                                                  {"large", run_large},     {"later", run_later},
                                                  {"release", run_release}, {NULL, NULL}};

static void on_end(uv_async_t *end) {
    uv_stop(end->loop);
}

static void *loop_main(void *arg) {
    struct host *host = arg;
    uv_run(&host->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void host_start(struct host *host, const char *below) {
    char why[512] = "";
    memset(host, 0, sizeof(*host));
    snprintf(host->dir, sizeof(host->dir), "/tmp/telex-control-XXXXXX");
    assert_non_null(mkdtemp(host->dir));
    char journal[CONTROL_PATH_MAX - 8];
    int n = snprintf(journal, sizeof(journal), "%s", host->dir);
    for (const char *at = below; *at; at += 50) {
        n += snprintf(journal + n, sizeof(journal) - (size_t)n, "/%.49s", at);
        assert_int_equal(mkdir(journal, 0700), 0);
    }
    snprintf(journal + n, sizeof(journal) - (size_t)n, "/wire.journal");
    control_path(journal, host->path);
    uv_loop_init(&host->loop);
    uv_async_init(&host->loop, &host->end, on_end);
    assert_int_equal(control_start(&host->control, &host->loop, host->path, commands, host, why, sizeof(why)),
                     0);
    assert_int_equal(pthread_create(&host->thread, NULL, loop_main, host), 0);
}

static void remove_tree(const char *dir) {
    char command[600];
    snprintf(command, sizeof(command), "rm -r '%s'", dir);
    assert_int_equal(system(command), 0);
}

static void host_stop(struct host *host) {
    uv_async_send(&host->end);
    pthread_join(host->thread, NULL);
    control_stop(host->control);
    if (host->held)
        control_answer(host->held, NULL); /* after the end: to no effect */
    uv_close((uv_handle_t *)&host->end, NULL);
    uv_run(&host->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&host->loop), 0);
    assert_int_equal(access(host->path, F_OK), -1);
    remove_tree(host->dir);
}

static int call(const struct host *host, json_t *request, json_t **reply, char *why) {
    int err = control_call(host->path, request, PATIENCE_MS, reply, why, 512);
    json_decref(request);
    return err;
}

/* One line, not built by us, and the first line that comes back ("" when the connection ends without). */
static void speak(const struct host *host, const char *bytes, size_t size, char *answer, size_t capacity) {
    int fd = control_connect(host->path);
    size_t sent = 0, got = 0;
    assert_true(fd >= 0);
    while (sent < size) {
        ssize_t n = send(fd, bytes + sent, size - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    while (got + 1 < capacity) {
        ssize_t n = recv(fd, answer + got, capacity - 1 - got, 0);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    answer[got] = 0;
    answer[strcspn(answer, "\n")] = 0;
    close(fd);
}

static void a_command_is_answered(void **state) {
    (void)state;
    struct host host;
    json_t *reply = NULL;
    char why[512] = "";
    host_start(&host, "");
    for (int i = 0; i < 100; i++) {
        assert_int_equal(call(&host, json_pack("{s:s, s:i}", "command", "echo", "say", i), &reply, why), 0);
        assert_int_equal(json_integer_value(json_object_get(reply, "said")), i);
        json_decref(reply);
    }
    assert_int_equal(call(&host, json_pack("{s:s, s:i}", "command", "large", "bytes", 3000000), &reply, why),
                     0);
    assert_int_equal(json_string_length(json_object_get(reply, "text")), 3000000);
    json_decref(reply);
    host_stop(&host);
}

static void a_refusal_says_why(void **state) {
    (void)state;
    struct host host;
    json_t *reply = NULL;
    char why[512] = "";
    host_start(&host, "");
    assert_int_equal(call(&host, json_pack("{s:s}", "command", "fail"), &reply, why), -EREMOTEIO);
    assert_string_equal(why, "no record 7; see `telex quarantine list`");
    assert_int_equal(call(&host, json_pack("{s:s}", "command", "stpo"), &reply, why), -EREMOTEIO);
    assert_string_equal(why, "unknown command 'stpo'; this host knows echo, fail, large, later, release");
    host_stop(&host);
    assert_int_equal(call(&host, json_pack("{s:s}", "command", "echo"), &reply, why), -ENOENT);
    assert_non_null(strstr(why, "no host listens at"));
}

static void only_the_owner_may_connect(void **state) {
    (void)state;
    struct host host;
    struct stat there;
    host_start(&host, "");
    assert_int_equal(stat(host.path, &there), 0);
    assert_true(S_ISSOCK(there.st_mode));
    assert_int_equal(there.st_mode & 0777, 0600);
    if (geteuid() == 0) { /* as another user, with the file's own guard taken away */
        chmod(host.path, 0666);
        chmod(host.dir, 0755);
        pid_t child = fork();
        if (child == 0) {
            char byte;
            if (setgid(65534) < 0 || setuid(65534) < 0)
                _exit(9);
            int fd = control_connect(host.path);
            if (fd < 0)
                _exit(8);
            (void)!send(fd, "{\"command\":\"echo\"}\n", 19, MSG_NOSIGNAL);
            _exit(recv(fd, &byte, 1, 0) <= 0 ? 0 : 1);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(host.n_echoes, 0);
    }
    host_stop(&host);
}

static void bad_input_gets_a_clear_answer(void **state) {
    (void)state;
    static const struct {
        const char *line, *error;
    } cases[] = {
        {"\n", "one JSON object"},
        {"hello\n", "one JSON object"},
        {"{\"command\":\"echo\"\n", "one JSON object"},
        {"{\"command\":\"echo\",\"command\":\"fail\"}\n", "one JSON object"},
        {"{\"command\":\"echo\"} {}\n", "one JSON object"},
        {"{\"command\":\"ec\\u0000ho\"}\n", "one JSON object"},
        {"\xff\xfe\n", "one JSON object"},
        {"[]\n", "text under"},
        {"{}\n", "text under"},
        {"{\"command\":7}\n", "text under"},
        {"{\"command\":\"\"}\n", "unknown command ''"},
    };
    struct host host;
    char answer[2000];
    host_start(&host, "");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        speak(&host, cases[i].line, strlen(cases[i].line), answer, sizeof(answer));
        if (!strstr(answer, cases[i].error))
            print_error("%s -> %s\n", cases[i].line, answer);
        assert_non_null(strstr(answer, "\"ok\":false"));
        assert_non_null(strstr(answer, cases[i].error));
    }
    size_t size = 1 << 20;
    char *deep = malloc(size);
    assert_non_null(deep);
    memset(deep, '[', size);
    speak(&host, deep, size, answer, sizeof(answer)); /* endless, without a newline */
    assert_non_null(strstr(answer, "a request may have 65536 bytes"));
    memset(deep, '[', 60000);
    deep[60000] = '\n';
    speak(&host, deep, 60001, answer, sizeof(answer)); /* too deep */
    assert_non_null(strstr(answer, "one JSON object"));
    free(deep);
    speak(&host, "{\"command\":\"echo\"}", 18, answer, sizeof(answer)); /* no newline: no request */
    assert_string_equal(answer, "");
    host_stop(&host);
}

static void noise_is_survived(void **state) {
    (void)state;
    struct host host;
    char noise[4096], answer[2000], why[512] = "";
    json_t *reply = NULL;
    host_start(&host, "");
    srand(11);
    for (int i = 0; i < 300; i++) {
        for (size_t k = 0; k < sizeof(noise); k++)
            noise[k] = rand() % 50 ? (char)(rand() >> 5) : '\n';
        speak(&host, noise, sizeof(noise), answer, sizeof(answer));
    }
    assert_int_equal(call(&host, json_pack("{s:s}", "command", "echo"), &reply, why), 0);
    json_decref(reply);
    host_stop(&host);
}

static void many_requests_on_one_connection_are_answered_in_order(void **state) {
    (void)state;
    enum { N = 500 };
    struct host host;
    host_start(&host, "");
    int fd = control_connect(host.path);
    assert_true(fd >= 0);
    FILE *stream = fdopen(fd, "r+");
    char line[200];
    setvbuf(stream, NULL, _IOFBF, 65536);
    for (int i = 0; i < N; i++)
        assert_true(dprintf(fd, "{\"command\":\"echo\",\"say\":%d}\n", i) > 0);
    for (int i = 0; i < N; i++) {
        int said = -1;
        assert_non_null(fgets(line, sizeof(line), stream));
        assert_int_equal(sscanf(line, "{\"said\":%d,\"ok\":true}", &said), 1);
        assert_int_equal(said, i);
    }
    fclose(stream);
    host_stop(&host);
}

static void an_answer_may_come_later_and_its_client_may_be_gone(void **state) {
    (void)state;
    struct host host;
    json_t *reply = NULL;
    char why[512] = "";
    host_start(&host, "");
    for (int gone = 0; gone < 2; gone++) {
        int fd = control_connect(host.path);
        char answer[200] = "";
        assert_true(fd >= 0);
        assert_true(dprintf(fd, "{\"command\":\"later\"}\n") > 0);
        /* A second connection is served meanwhile, after the first: the loop takes them in order. */
        assert_int_equal(call(&host, json_pack("{s:s}", "command", "echo"), &reply, why), 0);
        json_decref(reply);
        if (gone)
            close(fd);
        assert_int_equal(call(&host, json_pack("{s:s}", "command", "release"), &reply, why), 0);
        json_decref(reply);
        if (gone)
            continue;
        assert_true(recv(fd, answer, sizeof(answer) - 1, 0) > 0);
        assert_string_equal(answer, "{\"said\":\"at last\",\"ok\":true}\n");
        close(fd);
    }
    /* Left unanswered at the end: host_stop answers it after the socket is gone. */
    int fd = control_connect(host.path);
    assert_true(dprintf(fd, "{\"command\":\"later\"}\n") > 0);
    assert_int_equal(call(&host, json_pack("{s:s}", "command", "echo"), &reply, why), 0);
    json_decref(reply);
    host_stop(&host);
    close(fd);
}

static void idle_clients_do_not_shut_others_out_for_good(void **state) {
    (void)state;
    struct host host;
    json_t *reply = NULL;
    char why[512] = "";
    int fds[100], err = 0;
    host_start(&host, "");
    for (int i = 0; i < 100; i++)
        fds[i] = control_connect(host.path);
    for (int i = 0; i < 100; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    for (int i = 0; i < 100; i++) { /* the loop sees the closing a moment later */
        err = call(&host, json_pack("{s:s}", "command", "echo"), &reply, why);
        if (err == 0)
            break;
        usleep(10000);
    }
    assert_int_equal(err, 0);
    json_decref(reply);
    host_stop(&host);
}

static void two_hosts_at_one_path_and_a_dead_ones_socket(void **state) {
    (void)state;
    struct host host;
    struct control *second = NULL;
    uv_loop_t loop;
    char why[512] = "";
    host_start(&host, "");
    uv_loop_init(&loop);
    assert_int_equal(control_start(&second, &loop, host.path, commands, NULL, why, sizeof(why)), -EADDRINUSE);
    assert_non_null(strstr(why, "another host listens at"));
    char dead[CONTROL_PATH_MAX + 8], file[CONTROL_PATH_MAX + 8];
    snprintf(dead, sizeof(dead), "%s.dead", host.path);
    int fd = control_bind(dead); /* bound, closed, never removed */
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(control_start(&second, &loop, dead, commands, NULL, why, sizeof(why)), 0);
    /* What took its place is not removed with it. */
    assert_int_equal(unlink(dead), 0);
    fd = control_bind(dead);
    close(fd);
    control_stop(second);
    assert_int_equal(access(dead, F_OK), 0);
    unlink(dead);
    snprintf(file, sizeof(file), "%s.file", host.path);
    FILE *plain = fopen(file, "w");
    assert_non_null(plain);
    fclose(plain);
    assert_int_equal(control_start(&second, &loop, file, commands, NULL, why, sizeof(why)), -EEXIST);
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(control_start(&second, &loop, "/nonexistent/x.sock", commands, NULL, why, sizeof(why)),
                     -ENOENT);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    host_stop(&host);
}

static void a_path_longer_than_a_socket_address_works(void **state) {
    (void)state;
    struct host host;
    json_t *reply = NULL;
    char why[512] = "";
    host_start(&host,
               "a-folder-name-of-forty-nine-characters-in-length-0a-folder-name-of-forty-nine-characters-in-"
               "length-1a-folder-name-of-forty-nine-characters-in-length-2");
    assert_true(strlen(host.path) > 150);
    assert_int_equal(call(&host, json_pack("{s:s}", "command", "echo"), &reply, why), 0);
    json_decref(reply);
    host_stop(&host);
}

static void a_host_that_does_not_answer_is_given_up(void **state) {
    (void)state;
    struct host host;
    json_t *reply = NULL;
    char why[512] = "";
    host_start(&host, "");
    json_t *request = json_pack("{s:s}", "command", "later");
    assert_int_equal(control_call(host.path, request, 200, &reply, why, sizeof(why)), -ETIMEDOUT);
    json_decref(request);
    assert_non_null(strstr(why, "did not answer"));
    host_stop(&host);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_answered),
        cmocka_unit_test(a_refusal_says_why),
        cmocka_unit_test(only_the_owner_may_connect),
        cmocka_unit_test(bad_input_gets_a_clear_answer),
        cmocka_unit_test(noise_is_survived),
        cmocka_unit_test(many_requests_on_one_connection_are_answered_in_order),
        cmocka_unit_test(an_answer_may_come_later_and_its_client_may_be_gone),
        cmocka_unit_test(idle_clients_do_not_shut_others_out_for_good),
        cmocka_unit_test(two_hosts_at_one_path_and_a_dead_ones_socket),
        cmocka_unit_test(a_path_longer_than_a_socket_address_works),
        cmocka_unit_test(a_host_that_does_not_answer_is_given_up),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
