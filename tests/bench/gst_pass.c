/* SPDX-License-Identifier: Apache-2.0 */
/* gst-pass COUNT BYTES - the peer of bench-host: COUNT messages through appsrc ! identity ! identity !
 * appsink.
 *
 * Each message is a buffer of its own, made and filled here, as a source makes records. They are pushed as
 * buffer lists of 64 and taken out one by one, which is GStreamer's fastest way for small buffers. Prints the
 * seconds from the first push to the last buffer taken. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gst/gst.h>

enum { BATCH = 64 };

struct feed {
    GstAppSrc *src;
    guint64 count;
    gsize bytes;
    guint8 *body;
};

static GstBuffer *make_buffer(const struct feed *feed) {
    GstBuffer *buffer = gst_buffer_new_allocate(NULL, feed->bytes, NULL);
    gst_buffer_fill(buffer, 0, feed->body, feed->bytes);
    return buffer;
}

static gpointer push_all(gpointer arg) {
    struct feed *feed = arg;
    for (guint64 done = 0; done < feed->count;) {
        guint n = feed->count - done < BATCH ? (guint)(feed->count - done) : BATCH;
        GstBufferList *list = gst_buffer_list_new_sized(n);
        for (guint i = 0; i < n; i++)
            gst_buffer_list_add(list, make_buffer(feed));
        if (gst_app_src_push_buffer_list(feed->src, list) != GST_FLOW_OK)
            break;
        done += n;
    }
    gst_app_src_end_of_stream(feed->src);
    return NULL;
}

static guint64 pull_all(GstAppSink *sink) {
    guint64 n = 0;
    GstSample *sample;
    while ((sample = gst_app_sink_pull_sample(sink))) {
        n++;
        gst_sample_unref(sample);
    }
    return n;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: gst-pass COUNT BYTES\n");
        return 64;
    }
    gst_init(NULL, NULL);
    GError *error = NULL;
    GstElement *pipeline =
        gst_parse_launch("appsrc name=src block=true max-buffers=1024 max-bytes=0 format=bytes ! "
                         "identity ! identity ! appsink name=sink sync=false max-buffers=1024",
                         &error);
    if (!pipeline || error) {
        fprintf(stderr, "gst-pass: %s\n", error ? error->message : "no pipeline");
        return 70;
    }
    struct feed feed = {.count = strtoull(argv[1], NULL, 10), .bytes = strtoull(argv[2], NULL, 10)};
    feed.body = malloc(feed.bytes ? feed.bytes : 1);
    memset(feed.body, 'x', feed.bytes);
    GstElement *src = gst_bin_get_by_name(GST_BIN(pipeline), "src");
    GstElement *sink = gst_bin_get_by_name(GST_BIN(pipeline), "sink");
    feed.src = GST_APP_SRC(src);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    gint64 began = g_get_monotonic_time();
    GThread *thread = g_thread_new("feed", push_all, &feed);
    guint64 n = pull_all(GST_APP_SINK(sink));
    double seconds = (double)(g_get_monotonic_time() - began) / 1e6;
    g_thread_join(thread);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(src);
    gst_object_unref(sink);
    gst_object_unref(pipeline);
    free(feed.body);
    if (n != feed.count) {
        fprintf(stderr, "gst-pass: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " buffers came out\n", n,
                feed.count);
        return 1;
    }
    printf("%.6f\n", seconds);
    return 0;
}
