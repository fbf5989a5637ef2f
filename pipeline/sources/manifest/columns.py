"""The columns of a manifest."""

VIDEO, START, END, LABEL, SPLIT, TEXT, UID = COLUMNS = ("video", "start", "end", "label", "split", "text", "uid")
LIKE_VIDEO = (
    *("path", "file", "filename", "file_name", "filepath", "file_path", "video_path", "video_file", "video_name"),
    *("videos", "clip", "clip_path", "url", "source", "src", "name"),
)  # what other tables call the column `video`, the most likely first
