"""Where data comes from: folders of files, tables, and the data sets of other libraries."""
